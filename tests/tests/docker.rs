//! The Dockerfile and compose.yaml against the code: there is no Docker where tests run, so what
//! they promise is read and compared with what the programs accept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::settings::ApiSettings;
use files::{Environment, Service, compose, dockerfile, members, text};
use jobs::process::{Env, Settings};
use url::Url;
use worker::EngineConfig;
use worker::settings::WorkerSettings;

/// What an operator must give.
const GIVEN: [(&str, &str); 3] = [
    ("FARM_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ("POSTGRES_PASSWORD", "hush"),
    ("DATABASE_LOGIN_PASSWORD", "app-hush"),
];

/// The services that run our programs, with the environment they find there.
fn ours(given: &[(&str, &str)]) -> BTreeMap<String, (Service, Environment)> {
    let images = dockerfile();
    let services = compose(given).unwrap();
    let ours = services.into_iter().filter(|(_, service)| service.target.is_some());
    ours.map(|(name, service)| {
        let target = service.target.clone().unwrap();
        let image = images.get(&target).unwrap_or_else(|| panic!("{name}: no target {target}"));
        let mut env = image.env.clone();
        env.extend(service.env.clone());
        (name, (service, env))
    })
    .collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').expect("seconds").parse().unwrap())
}

#[test]
fn images_are_built_from_programs_of_this_workspace() {
    let images = dockerfile();
    let members = members();
    let build = &images["build"];
    let built: BTreeSet<&str> = build
        .run
        .split_whitespace()
        .skip_while(|word| *word != "build")
        .collect::<Vec<_>>()
        .windows(2)
        .filter(|pair| pair[0] == "--package")
        .map(|pair| pair[1])
        .collect();
    assert_eq!(built, BTreeSet::from(["api", "codec", "farm", "scheduler", "worker"]));
    assert!(build.run.contains("--release --locked"), "{}", build.run);
    for name in &built {
        assert!(members[*name].join("src/main.rs").is_file(), "{name} is a program");
        assert!(build.run.contains(&format!("target/release/{name}")), "{name} is kept");
        if *name == "codec" {
            continue; // a program of the worker's, without a role of its own
        }
        let image = &images[*name];
        // Who runs models, or may be asked about them, brings libtorch along.
        let mut copied = vec![format!("/out/{name}")];
        if ["farm", "worker"].contains(name) {
            copied.insert(0, "/out/lib".to_owned());
            copied.push("/out/codec".to_owned());
        }
        assert_eq!(image.copied, copied, "and nothing else");
        assert_eq!(image.entrypoint, [*name]);
        assert_eq!(image.user.as_deref(), Some("10001"), "not root");
        assert_eq!(image.stop_signal.as_deref(), Some("SIGTERM"), "the one that drains");
        let secret = |name: &&String| {
            ["SECRET", "PASSWORD", "KEY", "TOKEN", "DSN", "URL"].iter().any(|w| name.contains(w))
        };
        assert_eq!(image.env.keys().find(secret), None, "no secret in an image");
    }
    let edition = text("Cargo.toml");
    let rust = edition.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(build.base.starts_with(&format!("rust:{}-slim-", rust.trim_matches('"'))));
    for image in images.values().filter(|image| !images.contains_key(&image.base)) {
        let (_, tag) = image.base.split_once(':').expect("a tag");
        assert!(tag.starts_with(|c: char| c.is_ascii_alphanumeric()) && tag != "latest");
        assert!(image.base.contains("-slim") && image.base.contains("trixie"), "one C library");
    }
}

#[test]
fn the_build_finds_every_member_of_the_workspace() {
    let ignored = text(".dockerignore");
    let ignored: Vec<&str> =
        ignored.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(ignored.contains(&"**/.env") && ignored.contains(&"target"));
    for pattern in ignored {
        assert!(!members().contains_key(pattern), "{pattern} is needed");
        assert!(!["*", "**", "**/*.rs", "**/*.toml", "**/*.txt"].contains(&pattern), "{pattern}");
    }
}

#[test]
fn every_role_reads_its_settings() {
    let sources: Vec<String> = ["jobs/src/process/settings.rs", "jobs/src/process/env.rs"]
        .iter()
        .chain(&["jobs/src/storage/settings.rs"])
        .chain(&["api/src/settings.rs", "worker/src/settings.rs"])
        .map(|path| text(path))
        .collect();
    let known = |name: &str| {
        let literal = format!("\"{name}\"");
        sources.iter().any(|source| source.contains(&literal))
    };
    let mut seen = BTreeSet::new();
    for (name, (service, found)) in ours(&GIVEN) {
        for variable in found.keys() {
            assert!(known(variable), "{name}: nobody reads {variable}");
        }
        let env = Env::of(found.clone()).unwrap_or_else(|why| panic!("{name}: {why}"));
        let common = Settings::read(&env).unwrap_or_else(|why| panic!("{name}: {why}"));
        let role = service.target.as_deref().unwrap();
        seen.insert(role.to_owned());
        match role {
            "api" => {
                common.require_cluster(role).unwrap();
                let api = ApiSettings::read(&env).unwrap();
                assert!(api.jwt_secret.is_some() && api.http_addr.ip().is_unspecified());
            }
            "worker" => {
                common.require_cluster(role).unwrap();
                let settings = WorkerSettings::read(&env).unwrap();
                let url = settings.decodo.expect("a provider").base_url;
                assert_eq!(url.as_str(), "http://demo-provider:8100/");
            }
            "scheduler" => common.require_cluster(role).unwrap(),
            _ => drop(farm::config::Settings::read(&env).unwrap()),
        }
        assert_eq!(found.contains_key("FARM_JWT_SECRET"), role == "api", "who signs");
        let line: Vec<&str> = std::iter::once("farm")
            .chain((role != "farm").then_some(role))
            .chain(service.command.iter().map(String::as_str))
            .collect();
        farm::cli::check(line).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    assert_eq!(seen, ["api", "farm", "scheduler", "worker"].map(str::to_owned).into());
    // The real provider, as the README says.
    let url = ("DECODO_BASE_URL", "https://scraper-api.decodo.com");
    let real =
        [GIVEN[0], GIVEN[1], GIVEN[2], url, ("DECODO_USERNAME", "u"), ("DECODO_PASSWORD", "p")];
    let env = Env::of(ours(&real)["worker"].1.clone()).unwrap();
    assert_eq!(WorkerSettings::read(&env).unwrap().decodo.unwrap().username, "u");
}

#[test]
fn secrets_are_given_or_nothing_starts() {
    for (left_out, _) in GIVEN {
        let given: Vec<_> = GIVEN.into_iter().filter(|(name, _)| *name != left_out).collect();
        let refused = compose(&given).unwrap_err();
        assert!(refused.starts_with(&format!("{left_out} is not set")), "{refused}");
    }
    let readme = text("docker/README.md");
    let compose = text("docker/compose.yaml");
    for variable in compose.split("${").skip(1).map(|rest| rest.split([':', '}']).next().unwrap()) {
        assert!(readme.contains(&format!("`{variable}`")), "{variable} is in docker/README.md");
    }
}

#[test]
fn urls_and_ports_lead_where_something_listens() {
    let services = compose(&GIVEN).unwrap();
    let (worker, api) = (&services["worker"].env, &services["api"]);
    let url = |name: &str| Url::parse(&worker[name]).unwrap();
    let database = url("DATABASE_URL");
    let postgres = &services[database.host_str().unwrap()];
    assert!(postgres.image.starts_with("postgres:") && database.port() == Some(5432));
    assert_eq!(database.path()[1..], postgres.env["POSTGRES_DB"]);
    // The tables' owner makes the login that the roles use, and no role knows the owner's password.
    let migrate = &services["migrate"].env;
    let owner = Url::parse(&migrate["DATABASE_URL"]).unwrap();
    assert_eq!(owner.username(), postgres.env["POSTGRES_USER"]);
    assert_eq!(owner.password(), Some(postgres.env["POSTGRES_PASSWORD"].as_str()));
    assert_eq!(database.username(), migrate["DATABASE_LOGIN"]);
    assert_eq!(database.password(), Some(migrate["DATABASE_LOGIN_PASSWORD"].as_str()));
    for role in ["api", "worker", "scheduler"] {
        let told = services[role].env.values();
        assert!(!told.into_iter().any(|value| value.contains("//farm:")), "{role}");
    }
    let version: u32 = postgres.image["postgres:".len()..].parse().unwrap();
    assert!(version >= 15);
    let redis = url("REDIS_URL");
    let service = &services[redis.host_str().unwrap()];
    assert!(service.image.starts_with("redis:7") && redis.port() == Some(6379));
    let provider = url("DECODO_BASE_URL");
    let service = &services[provider.host_str().unwrap()];
    let port = farm::machine::DEMO_PORT;
    assert_eq!(provider.port(), Some(port));
    assert_eq!(
        service.command,
        ["demo-provider", "--host", "0.0.0.0", "--port", &port.to_string()]
    );
    // The API's port is the one of the code, published for this machine only.
    let default = ApiSettings::read(&Env::default()).unwrap().http_addr.port();
    assert_eq!(api.ports, [format!("127.0.0.1:{default}:{default}")]);
    let images = dockerfile();
    assert_eq!(images["api"].env["FARM_HTTP_ADDR"], format!("0.0.0.0:{default}"));
    assert_eq!(images["api"].exposed, [default.to_string()]);
    for (name, service) in services.iter().filter(|(name, _)| *name != "api") {
        assert!(service.ports.is_empty(), "{name} is reached from inside only");
    }
}

#[test]
fn nobody_is_killed_before_the_drain_is_over_or_started_before_the_tables() {
    let services = compose(&GIVEN).unwrap();
    let images = dockerfile();
    for (name, (service, _)) in ours(&GIVEN) {
        let grace = seconds(service.grace.as_deref().expect("a grace period"));
        assert!(grace >= EngineConfig::default().grace + Duration::from_secs(5), "{name}");
        let role = ["api", "worker", "scheduler"].contains(&name.as_str());
        let needs = ["migrate", "postgres", "redis"].map(str::to_owned);
        assert!(!role || service.needs.keys().eq(needs.iter()), "{name}");
        assert_eq!(service.restart, if name == "migrate" { "no" } else { "unless-stopped" });
        for (needed, condition) in &service.needs {
            let other = &services[needed];
            let image = other.target.as_ref().map(|target| &images[target]);
            match condition.as_str() {
                "service_healthy" => {
                    let told = image.is_some_and(|image| image.health.is_some());
                    assert!(other.has_health || told, "{name}: {needed} never says it is well");
                }
                "service_completed_successfully" => assert_eq!(needed, "migrate"),
                other => panic!("{name} waits for {needed} to be {other}"),
            }
        }
    }
    assert_eq!(services["worker"].replicas, 2);
    assert_eq!(services["migrate"].command, ["migrate", "up"]);
}

/// The check of the image, with its own command, against something that answers.
#[test]
fn the_health_check_tells_ready_from_not_ready() {
    use std::io::{Read, Write};
    let check = dockerfile()["api"].health.clone().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for status in ["200 OK", "503 Service Unavailable"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 64];
            let read = stream.read(&mut asked).unwrap();
            assert!(asked[..read].starts_with(b"GET /readyz HTTP/1.0\r\n"));
            stream.write_all(format!("HTTP/1.0 {status}\r\n\r\n").as_bytes()).unwrap();
        }
    });
    let run = || {
        let mut command = std::process::Command::new(&check[0]);
        command.args(&check[1..]).env("FARM_HTTP_ADDR", addr.to_string());
        command.stderr(std::process::Stdio::null()).status().unwrap().success()
    };
    assert!(run() && !run());
    assert!(!run(), "nobody listens any more");
}
