//! Which limit a request counts against: one table of methods and paths.

use poem::http::Method;
use url::form_urlencoded;

/// What kind of call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Probes of whoever runs the process: never refused.
    Free,
    /// Thumbnails, for everybody.
    Pictures,
    /// Following a job.
    Poll,
    /// Reading profiles, posts, jobs and media.
    Read,
    /// Starting work, or paying for something.
    Work,
    /// Showing who one is, or becoming somebody.
    SignIn,
    /// Going on being somebody.
    Renewal,
    /// Everything else, what nobody has thought of yet included.
    General,
}

impl Class {
    /// Of a request.
    pub(super) fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        // What is asked for most.
        let profile = path.strip_prefix("/api/profile/").filter(|name| !name.contains('/'));
        if profile.is_some() && query.is_none() && method == Method::GET {
            return Self::Read;
        }
        // More than any path of ours has; the rest cannot change what it is.
        let mut parts = [""; 8];
        let mut count = 0;
        for part in path.split('/').filter(|part| !part.is_empty()).take(parts.len()) {
            parts[count] = part;
            count += 1;
        }
        let get = matches!(*method, Method::GET | Method::HEAD);
        match &parts[..count] {
            ["api", "profile", _] if get && wants_fetch(query) => Self::Work,
            ["livez" | "readyz" | "health"] | ["api", "health"] => Self::Free,
            ["cdn", ..] => Self::Pictures,
            ["api", rest @ ..] if get => Self::of_get(rest),
            ["api", rest @ ..] => Self::of_post(rest),
            _ => Self::General,
        }
    }

    fn of_get(path: &[&str]) -> Self {
        match path {
            ["v1", "jobs", "dead"] => Self::General,
            ["v1", "jobs", _]
            | ["v1", "jobs", _, "status" | "result" | "events"]
            | ["v1", "creator", _, "status"]
            | ["v1", "simple", "creator", _, "status"]
            | ["lists", "export-jobs", _]
            | ["export", _] => Self::Poll,
            ["profile" | "export", ..]
            | ["v1", "jobs"]
            | ["v1", "ai", "status", ..]
            | ["v1", "creator" | "creators" | "instagram" | "post-analytics", ..]
            | ["v1", "simple", "creator", ..] => Self::Read,
            ["v1", "auth", "verify-email", ..] => Self::SignIn,
            _ => Self::General,
        }
    }

    /// Of POST, and of every other method that changes something.
    fn of_post(path: &[&str]) -> Self {
        match path {
            ["v1", "jobs", "batch-get"] => Self::Poll,
            // A page of avatars sends twenty at once; what is stored costs nothing.
            ["v1", "creator", "search", _] | ["v1", "simple", "creator", "search", _] => Self::Read,
            ["export"]
            | ["lists", _, "export"]
            | ["v1", "admin", "cdn", ..]
            | ["v1", "ai", "fix", ..]
            | ["v1", "analytics" | "cdn" | "post-analytics", ..]
            | ["v1", "creators", "ig", _, "media", "refresh"]
            | ["v1", "instagram", "profile", _, "refresh"]
            | ["v1", "jobs", _, "retry"] => Self::Work,
            ["v1", "auth", "refresh"] => Self::Renewal,
            ["v1", "auth", "logout"] => Self::General,
            ["v1", "auth", ..] => Self::SignIn,
            _ => Self::General,
        }
    }
}

/// `?fetch=true`, however it is spelt.
fn wants_fetch(query: Option<&str>) -> bool {
    let pairs = query.map(|query| form_urlencoded::parse(query.as_bytes()));
    pairs.is_some_and(|mut pairs| pairs.any(|(name, value)| name == "fetch" && value == "true"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn class(method: &str, uri: &str) -> Class {
        let (path, query) = uri.split_once('?').map_or((uri, None), |(p, q)| (p, Some(q)));
        Class::of(&method.parse().unwrap(), path, query)
    }

    #[test]
    fn calls_are_what_they_look_like() {
        for (method, uri, want) in [
            ("GET", "/livez", Class::Free),
            ("GET", "/readyz", Class::Free),
            ("GET", "/api/health", Class::Free),
            ("GET", "/api/profile/ann", Class::Read),
            ("GET", "/api/profile/ann?fetch=false", Class::Read),
            ("GET", "/api/profile/ann?fetch=true", Class::Work),
            ("GET", "/api/profile/ann?wait=1&f%65tch=tru%65", Class::Work),
            ("GET", "//api/profile//ann/posts?cursor=1", Class::Read),
            ("GET", "/api/v1/jobs", Class::Read),
            ("GET", "/api/v1/jobs/7", Class::Poll),
            ("GET", "/api/v1/jobs/7/status", Class::Poll),
            ("GET", "/api/v1/jobs/7/events", Class::Poll),
            ("POST", "/api/v1/jobs/batch-get", Class::Poll),
            ("POST", "/api/v1/jobs/7/cancel", Class::General),
            ("POST", "/api/v1/jobs/7/retry", Class::Work),
            ("GET", "/api/v1/simple/creator/ann/status", Class::Poll),
            ("GET", "/api/v1/simple/creator/ann/detailed", Class::Read),
            ("GET", "/api/v1/creator/ann/posts", Class::Read),
            ("POST", "/api/v1/simple/creator/search/ann", Class::Read),
            ("GET", "/api/v1/creators/ig/ann/media", Class::Read),
            ("POST", "/api/v1/auth/login", Class::SignIn),
            ("POST", "/api/v1/auth/anything-new", Class::SignIn),
            ("POST", "/api/v1/auth/refresh", Class::Renewal),
            ("GET", "/api/v1/auth/me", Class::General),
            ("GET", "/cdn/th/ig/1/2/256/3.webp", Class::Pictures),
            ("GET", "/docs", Class::General),
            ("GET", "/openapi.json", Class::General),
            ("GET", "/api/v1/credits/balance", Class::General),
            ("DELETE", "/api/lists/7", Class::General),
            ("GET", "/", Class::General),
        ] {
            assert_eq!(class(method, uri), want, "{method} {uri}");
        }
    }

    /// A job that answers 202 was started; whoever adds such a call says so in the table.
    #[test]
    fn every_documented_call_that_starts_a_job_counts_as_one() {
        let document: Value = serde_json::from_str(&crate::openapi()).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let starts = method == "post" && operation["responses"].get("202").is_some();
                let class = class(&method.to_uppercase(), path);
                assert_eq!(class == Class::Work, starts, "{method} {path}: {class:?}");
            }
        }
    }
}
