//! The table of who may do what: `tests/data/http-isolation.tsv`, whose head explains it.

use std::collections::BTreeMap;

use poem::http::Method;
use tests::{Answer, Client};

use crate::common::first_of;

const TABLE: &str = include_str!("../../../data/http-isolation.tsv");

/// What an operation promises about whose things it shows and touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Public,
    User,
    Shared,
    Owner,
    Lookup,
    Access,
    Preview,
    Pays,
    Starts,
    Operator,
}

impl Rule {
    fn parse(word: &str) -> Self {
        match word {
            "public" => Self::Public,
            "user" => Self::User,
            "shared" => Self::Shared,
            "owner" => Self::Owner,
            "lookup" => Self::Lookup,
            "access" => Self::Access,
            "preview" => Self::Preview,
            "pays" => Self::Pays,
            "starts" => Self::Starts,
            "operator" => Self::Operator,
            other => panic!("no such rule: {other}"),
        }
    }
}

/// Words of the table, without their `$`, and what they stand for.
pub type Words = BTreeMap<&'static str, String>;

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    pub method: Method,
    pub path: String,
    pub rule: Rule,
    about: Vec<(String, String)>,
    body: Option<String>,
    line: usize,
}

/// A request a row stands for, with the words in it as they were said.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    pub path: String,
    pub body: Option<String>,
    key: String,
    /// What is named in it of somebody's things.
    pub named: Vec<String>,
}

/// All rows.
pub fn rows() -> Vec<Row> {
    let lines = TABLE.lines().enumerate();
    let rows = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    rows.map(|(number, line)| Row::parse(number + 1, line)).collect()
}

impl Row {
    fn parse(line: usize, text: &str) -> Self {
        let columns: Vec<&str> = text.split('\t').collect();
        let [method, path, rule, about, body] = columns[..] else {
            panic!("line {line} of the table has not five columns: {text}")
        };
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        };
        Self {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            rule: Rule::parse(rule),
            about: about.split('&').filter(|about| *about != "-").map(pair).collect(),
            body: (body != "-").then(|| body.to_owned()),
            line,
        }
    }

    /// Its requests about somebody's things, as a caller with words of their own would send them.
    pub fn requests(&self, things: &Words, own: &Words) -> Vec<Request> {
        let begin = Request {
            method: self.method.clone(),
            path: self.path.clone(),
            body: None,
            key: String::new(),
            named: vec![],
        };
        let mut all = vec![begin];
        for (name, values) in &self.about {
            let one = |value: &str| {
                let with = |request: &Request| request.asking(name, &filled(value, things, own));
                all.iter().map(with).collect::<Vec<_>>()
            };
            all = values.split('|').flat_map(one).collect();
        }
        for (number, request) in all.iter_mut().enumerate() {
            assert!(!request.path.contains('{'), "line {}: {}", self.line, request.path);
            request.key = format!("line-{}-{number}", self.line);
            if let Some(body) = &self.body {
                let (body, named) = filled(body, things, own);
                request.body = Some(body);
                request.named.extend(named);
            }
        }
        all
    }
}

/// A text with its words said, and which things of `things` that names.
fn filled(text: &str, things: &Words, own: &Words) -> (String, Vec<String>) {
    let mut parts = text.split('$');
    let mut said = parts.next().unwrap_or_default().to_owned();
    let mut named = vec![];
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        let thing = things.get(word);
        let value = thing.or_else(|| own.get(word)).unwrap_or_else(|| panic!("no word {word}"));
        named.extend(thing.cloned());
        said.push_str(value);
        said.push_str(rest);
    }
    (said, named)
}

impl Request {
    fn asking(&self, name: &str, (value, named): &(String, Vec<String>)) -> Self {
        let mut request = self.clone();
        let slot = format!("{{{name}}}");
        if request.path.contains(&slot) {
            request.path = request.path.replace(&slot, value);
        } else {
            let joint = if request.path.contains('?') { '&' } else { '?' };
            request.path = format!("{}{joint}{name}={value}", request.path);
        }
        request.named.extend(named.iter().cloned());
        request
    }

    /// Sends it. Of a stream only the beginning is read.
    pub async fn sent(&self, client: &Client) -> Answer {
        if self.method == Method::GET {
            return first_of(client, &self.path).await;
        }
        let client = client.with("idempotency-key", &self.key);
        client.send(self.method.clone(), &self.path, self.body.clone()).await
    }

    /// An answer to it without what was named in it.
    pub fn without_names(&self, text: &str) -> String {
        self.named.iter().fold(text.to_owned(), |text, name| {
            text.replace(name, "[named]").replace(&name.replace('-', ""), "[named]")
        })
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        self.body.as_ref().map_or(Ok(()), |body| write!(f, " {body}"))
    }
}
