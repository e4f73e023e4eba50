//! Where the server is and how to get in: a URL or a list of `name=value`, as libpq reads them, with the parameters that
//! the client library does not know: `sslmode=verify-ca|verify-full`, `sslrootcert`, `passfile`, `password_file`.

use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::config::Secret;
use crate::failure::{Failure, Outcome};

const FORM: &str = "allowed: postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=file, with special \
                    characters percent-encoded";

/// How long one address of the host may take to accept a connection, unless the address says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// None.
    Disable,
    /// Where the server has it; nothing is verified.
    Prefer,
    /// Always; nothing is verified.
    Require,
    /// Always; the chain is verified.
    VerifyCa,
    /// Always; the chain and the host name are verified.
    VerifyFull,
}

/// An address, understood.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    /// For all of connecting, where that is not for the configuration to say.
    patience: Option<Duration>,
    pub(super) tls: TlsMode,
    /// PEM bundle; none: the system's.
    pub(super) root: Option<PathBuf>,
    /// In the format of `.pgpass`.
    passfile: Option<PathBuf>,
    /// Holds the password and nothing else.
    password_file: Option<PathBuf>,
}

/// The parameters that are ours to read.
#[derive(Default)]
struct Own {
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
    passfile: Option<PathBuf>,
    password_file: Option<PathBuf>,
}

impl Own {
    /// Takes a parameter, or says that it is not ours.
    fn take(&mut self, name: &str, value: &str) -> bool {
        match name {
            "sslmode" => self.sslmode = Some(value.to_owned()),
            "sslrootcert" => self.sslrootcert = Some(PathBuf::from(value)).filter(|_| value != "system"),
            "passfile" => self.passfile = Some(PathBuf::from(value)),
            "password_file" => self.password_file = Some(PathBuf::from(value)),
            _ => return false,
        }
        true
    }
}

impl Address {
    /// Understands `text`; `environment` looks a variable up.
    ///
    /// # Errors
    /// Permanent; the message repeats nothing of the text, which may hold a password.
    pub(super) fn read(text: &Secret, environment: &dyn Fn(&str) -> Option<String>) -> Outcome<Self> {
        let mut own = Own::default();
        let rest = if text.reveal().contains("://") {
            split_url(text.reveal(), &mut own)
        } else {
            split_pairs(text.reveal(), &mut own)?
        };
        let mut config = Config::from_str(&rest).map_err(|_| {
            Failure::permanent(format!(
                "the warehouse's address cannot be understood (it is not shown); {FORM}"
            ))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Failure::permanent(format!("the warehouse's address names no host; {FORM}")));
        }
        let tls = tls_mode(own.sslmode.as_deref(), own.sslrootcert.is_some())?;
        set_defaults(&mut config, &rest, tls);
        let home = || environment("HOME").map(|home| PathBuf::from(home).join(".pgpass"));
        let named = own.passfile.or_else(|| environment("PGPASSFILE").map(PathBuf::from));
        let passfile = named.or_else(|| home().filter(|path| path.is_file()));
        Ok(Self {
            config,
            patience: None,
            tls,
            root: own.sslrootcert,
            passfile,
            password_file: own.password_file,
        })
    }

    /// For messages: no password, no parameters.
    pub(super) fn location(&self) -> String {
        let user = self.config.get_user().map_or_else(String::new, |user| format!("{user}@"));
        let database = self.config.get_dbname().unwrap_or_default();
        format!("postgres://{user}{}:{}/{database}", self.host(), self.port())
    }

    /// The configuration for one connection; password files are read anew, because passwords are rotated.
    pub(super) fn config(&self, application_name: &str) -> Outcome<Config> {
        let mut config = self.config.clone();
        if config.get_application_name().is_none() {
            // The server keeps 63 bytes.
            config.application_name(application_name.chars().take(60).collect::<String>());
        }
        if config.get_password().is_none()
            && let Some(password) = self.password()?
        {
            config.password(password);
        }
        Ok(config)
    }

    /// The same, but nobody is waited for longer than `patience` to take the connection, and then as long to have it made.
    #[must_use]
    pub(super) fn impatient(mut self, patience: Duration) -> Self {
        let asked = self.config.get_connect_timeout().copied().unwrap_or(patience);
        self.config.connect_timeout(asked.min(patience)).tcp_user_timeout(patience);
        self.patience = Some(2 * patience);
        self
    }

    /// How long all of connecting may take: so long for each host, and as much again for TLS and the login, and for the first
    /// questions.
    pub(super) fn connect_limit(&self) -> Duration {
        if let Some(patience) = self.patience {
            return patience;
        }
        let each = self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        let hosts = self.config.get_hosts().len().max(self.config.get_hostaddrs().len()).max(1);
        each * (u32::try_from(hosts).unwrap_or(u32::MAX).saturating_add(2))
    }

    /// Whether the server is on this machine, so that nobody listens in between.
    pub(super) fn is_local(&self) -> bool {
        let is_local = |host: &Host| match host {
            Host::Tcp(name) => {
                let address = name.parse::<std::net::IpAddr>();
                name == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        let addresses = self.config.get_hostaddrs();
        let are_local = addresses.iter().all(std::net::IpAddr::is_loopback);
        are_local && (!addresses.is_empty() || self.config.get_hosts().iter().all(is_local))
    }

    /// Whether the server has to prove who it is.
    pub(super) fn is_verified(&self) -> bool {
        self.tls == TlsMode::VerifyFull
    }

    fn host(&self) -> String {
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => self.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        }
    }

    fn port(&self) -> u16 {
        self.config.get_ports().first().copied().unwrap_or(5432)
    }

    fn password(&self) -> Outcome<Option<String>> {
        if let Some(path) = &self.password_file {
            return Ok(read_private(path)?.lines().next().map(str::to_owned));
        }
        let Some(path) = &self.passfile else { return Ok(None) };
        let (host, port) = (self.host(), self.port().to_string());
        // libpq looks a socket in the usual places up as `localhost`.
        let host = if host.starts_with('/') { "localhost".to_owned() } else { host };
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        Ok(look_up(&read_private(path)?, [&host, &port, database, user]))
    }
}

fn set_defaults(config: &mut Config, text: &str, tls: TlsMode) {
    config.ssl_mode(match tls {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        _ => SslMode::Require,
    });
    // A dead peer is noticed within about a minute: without these it takes hours.
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(60));
    }
    if !text.contains("keepalives") {
        config.keepalives(true).keepalives_idle(Duration::from_secs(30));
        config.keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
    }
    // After a failover the name may still lead to what is now a replica.
    if config.get_target_session_attrs() == TargetSessionAttrs::Any {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
}

fn tls_mode(word: Option<&str>, has_root: bool) -> Outcome<TlsMode> {
    Ok(match word {
        None | Some("prefer" | "allow") => TlsMode::Prefer,
        Some("disable") => TlsMode::Disable,
        // As libpq: `require` with a given authority verifies the chain.
        Some("require") if has_root => TlsMode::VerifyCa,
        Some("require") => TlsMode::Require,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(_) => {
            return Err(Failure::permanent(
                "the warehouse's sslmode is not known; allowed: disable, prefer, require, verify-ca, verify-full",
            ));
        }
    })
}

/// The URL without our parameters.
fn split_url(text: &str, own: &mut Own) -> String {
    let after_credentials = text.find('@').map_or(0, |at| at + 1);
    let Some(mark) = text[after_credentials..].find('?') else { return text.to_owned() };
    let (base, query) = text.split_at(after_credentials + mark);
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let others: Vec<&str> = query[1..]
        .split('&')
        .filter(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            !pair.is_empty() && !own.take(&decoded(name), &decoded(value))
        })
        .collect();
    if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) }
}

/// The list of `name=value` without our parameters.
fn split_pairs(text: &str, own: &mut Own) -> Outcome<String> {
    let mut others = String::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(|| {
            Failure::permanent(format!(
                "the warehouse's address cannot be understood (it is not shown); {FORM}"
            ))
        })?;
        let (value, after) = pair_value(after.trim_start());
        if !own.take(name.trim(), &value) {
            let quoted = value.replace('\\', "\\\\").replace('\'', "\\'");
            write!(others, "{}='{quoted}' ", name.trim()).expect("writing to a String never fails");
        }
        rest = after.trim_start();
    }
    Ok(others)
}

/// A value that may be quoted, and what follows it.
fn pair_value(text: &str) -> (String, &str) {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return (value, &text[at + 1..]),
            space if !quoted && space.is_whitespace() => return (value, &text[at..]),
            other => value.push(other),
        }
    }
    (value, "")
}

/// Reads a file with a password, unless everybody may read it.
fn read_private(path: &std::path::Path) -> Outcome<String> {
    let cannot = |error: std::io::Error| {
        Failure::permanent(format!("cannot read the password file {}: {error}", path.display()))
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map_err(cannot)?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(Failure::permanent(format!(
                "everybody may read the password file {0}; it is not used: chmod 600 {0}",
                path.display()
            )));
        }
    }
    std::fs::read_to_string(path).map_err(cannot)
}

/// The password of the first line that fits: `host:port:database:user:password`, `*` for any, `\` escapes.
fn look_up(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = pass_fields(line);
        let password = (fields.len() == 5).then(|| fields.pop()).flatten()?;
        let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then_some(password)
    })
}

fn pass_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let next = match character {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next(),
            other => Some(other),
        };
        fields.last_mut().expect("there is one from the start").extend(next);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn read(text: &str) -> Outcome<Address> {
        Address::read(&Secret::new(text), &nothing)
    }

    #[test]
    fn a_url_and_a_list_say_the_same() {
        let url = read(
            "postgres://me:p%40ss@db:5433/shop?sslmode=verify-full&sslrootcert=%2Fca.pem&options=-cx%3D1",
        );
        let list = read(
            r"host=db port=5433 user=me password='p@ss' dbname=shop sslmode=verify-full sslrootcert=/ca.pem",
        );
        for address in [url.unwrap(), list.unwrap()] {
            assert_eq!(address.location(), "postgres://me@db:5433/shop");
            assert_eq!(address.tls, TlsMode::VerifyFull);
            assert_eq!(address.root.as_deref(), Some(std::path::Path::new("/ca.pem")));
            assert_eq!(address.config.get_password(), Some(b"p@ss".as_slice()));
        }
    }

    #[test]
    fn an_error_repeats_nothing_of_the_address() {
        for text in [
            "postgres://me:hunter2@db/x?hunter2=1",
            "postgres://me:hunter2@db:hunter2/x",
            "host=db password=hunter2 hunter2",
            "postgres://me:hunter2@/x",
            "postgres://me:hunter2@db/x?sslmode=hunter2",
            "postgres://me:hun?ter2@db/x?port=hunter2",
        ] {
            let error = read(text).err().map(|failure| failure.message).unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    /// After a failover the name leads elsewhere; an address that was kept would not. Each connection makes its configuration
    /// from this one, and looks the name up.
    #[test]
    fn the_host_stays_a_name_until_it_connects() {
        for text in ["postgres://me@db.example:5433/shop", "host=localhost user=me dbname=shop"] {
            let config = read(text).unwrap().config("test").unwrap();
            assert!(matches!(config.get_hosts(), [Host::Tcp(name)] if !name.starts_with(char::is_numeric)));
            assert!(config.get_hostaddrs().is_empty());
        }
    }

    #[test]
    fn a_password_file_is_looked_up_as_libpq_does() {
        let text = "# db:1:x:me:no\nother:*:*:*:no\ndb:5432:shop:me:a\\:b\\\\c:d\n*:*:*:*:last\n";
        assert_eq!(look_up(text, ["db", "5432", "shop", "me"]).as_deref(), Some(r"a:b\c:d"));
        assert_eq!(look_up(text, ["db", "5432", "shop", "you"]).as_deref(), Some("last"));
        assert_eq!(look_up("db:5432:shop:me", ["db", "5432", "shop", "me"]), None);
    }

    #[test]
    fn the_environment_names_a_password_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "db:5432:shop:me:secret\n").unwrap();
        let path = file.path().display().to_string();
        let environment = |name: &str| (name == "PGPASSFILE").then(|| path.clone());
        let address = Address::read(&Secret::new("postgres://me@db/shop"), &environment).unwrap();
        assert_eq!(address.config("x").unwrap().get_password(), Some(b"secret".as_slice()));
    }

    #[test]
    fn what_everybody_may_read_is_no_password_file() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let address =
            read(&format!("postgres://me@db/shop?password_file={}", file.path().display())).unwrap();
        assert!(address.config("x").unwrap_err().message.contains("chmod 600"));
    }
}
