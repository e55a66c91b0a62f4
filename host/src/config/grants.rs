//! The grants of a handler, and what comes with them: its configuration and its secrets.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::section::{Named, Section};
use super::value::{parsed, text, word};
use crate::sandbox::{Grants, GuestConfig, HttpGrant, HttpHost};

/// Longest value and longest secret.
const VALUE_BYTES_MAX: usize = 64 << 10;

#[derive(Clone, Copy)]
enum Grant {
    Log,
    Clocks,
    Random,
    State,
    Config,
    Http,
}

pub(super) fn read(section: &Section<'_>) -> Grants {
    let words = [
        ("log", Grant::Log),
        ("clocks", Grant::Clocks),
        ("random", Grant::Random),
        ("state", Grant::State),
        ("config", Grant::Config),
        ("http", Grant::Http),
    ];
    let config = read_config(section);
    let mut grants = Grants::default();
    for grant in section.list("grants", word(&words)).unwrap_or_default() {
        match grant {
            Grant::Log => grants.log = true,
            Grant::Clocks => grants.clocks = true,
            Grant::Random => grants.random = true,
            Grant::State => grants.state = true,
            Grant::Config => grants.config = Some(Arc::clone(&config)),
            Grant::Http => grants.http = Some(Arc::default()),
        }
    }
    grants.http = read_http_hosts(section, grants.http.is_some());
    if grants.config.is_none() {
        refuse_without_grant(section, &config);
    }
    grants
}

/// The list of hosts and the grant `http` belong together.
fn read_http_hosts(section: &Section<'_>, granted: bool) -> Option<Arc<HttpGrant>> {
    let hosts: Vec<HttpHost> = section.list("http_hosts", parsed).unwrap_or_default();
    if granted && !section.has("http_hosts") {
        section.refuse("grants", "`http`: expected `http_hosts` with at least one host that may be called");
    } else if granted {
        section.refuse_empty("http_hosts", "expected at least one host, because `http` is granted");
    } else if !hosts.is_empty() {
        section.refuse("http_hosts", "counts only with the grant `http`: add it, or remove the hosts");
    }
    granted.then(|| Arc::new(HttpGrant { hosts }))
}

fn read_config(section: &Section<'_>) -> Arc<GuestConfig> {
    let values = section.names("config", |entry| entry.value(value)).unwrap_or_default();
    let secrets = section.names("secrets", |entry| read_secret(&entry)).unwrap_or_default();
    if let Some(both) = secrets.keys().find(|name| values.contains_key(*name)) {
        section
            .refuse("secrets", &format!("`{both}`: is a key of `config` too, expected names of their own"));
    }
    Arc::new(GuestConfig::new(values, secrets))
}

fn value(written: &str) -> Result<String, String> {
    let fits = written.len() <= VALUE_BYTES_MAX;
    fits.then(|| written.to_owned()).ok_or_else(|| format!("expected at most {VALUE_BYTES_MAX} bytes"))
}

/// A secret is named, never written.
fn read_secret(entry: &Named<'_, '_>) -> Option<SecretString> {
    if entry.refuse_mask("write `env: VARIABLE` or `file: PATH`") {
        return None;
    }
    entry.section(|section| {
        let variable = section.optional("env", text);
        let file = section.file("file");
        let (key, secret) = match (variable, file) {
            (Some(variable), None) => ("env", section.environment("env", &variable)?.into()),
            (None, Some(file)) => ("file", section.read_secret("file", &file)?),
            _ => {
                section.refuse("env", "expected either `env: VARIABLE` or `file: PATH`");
                return None;
            }
        };
        let length = secret.expose_secret().len();
        if (1..=VALUE_BYTES_MAX).contains(&length) {
            return Some(secret);
        }
        section.refuse(key, &format!("the secret has {length} bytes, expected 1 to {VALUE_BYTES_MAX}"));
        None
    })
}

fn refuse_without_grant(section: &Section<'_>, config: &GuestConfig) {
    let problem = "has no effect without the grant `config`; add that to `grants`";
    if !config.values().is_empty() {
        section.refuse("config", problem);
    }
    if config.secret_keys().next().is_some() {
        section.refuse("secrets", problem);
    }
}
