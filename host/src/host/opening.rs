//! Opening the way to the broker: a server that starts beside the host may need longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use guesthouse_connector::{ConnectorError, ConnectorMode, IggyConnector, connector};

use super::{BuildError, Ownership, close, ensure_topics};
use crate::config::Config;

/// The bounds of the waits between two tries.
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_LONGEST: Duration = Duration::from_secs(2);

/// How long a broker is waited for, and what of that is to be said. Pure.
#[derive(Debug)]
struct Waiting {
    began: Instant,
    patience: Duration,
    wait: Duration,
    /// Why it does not answer, as it was said last.
    said: Option<String>,
}

/// What to do about a failure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GiveUp,
    TryAgain { after: Duration, saying: Saying },
}

/// Whether the reason is to be said.
#[derive(Debug, PartialEq, Eq)]
enum Saying {
    First,
    Another,
    Nothing,
}

impl Waiting {
    fn new(patience: Duration, now: Instant) -> Self {
        Self { began: now, patience, wait: WAIT_FIRST, said: None }
    }

    /// What comes after a failure.
    fn after(&mut self, error: &ConnectorError, now: Instant) -> Next {
        let left = self.patience.saturating_sub(now.saturating_duration_since(self.began));
        // Credentials that are refused and settings that cannot work do not get better.
        if !error.is_transient() || left.is_zero() {
            return Next::GiveUp;
        }
        let after = self.wait.min(left);
        self.wait = (self.wait * 2).min(WAIT_LONGEST);
        let reason = error.to_string();
        let saying = match &self.said {
            None => Saying::First,
            Some(said) if *said != reason => Saying::Another,
            Some(_) => Saying::Nothing,
        };
        self.said = Some(reason);
        Next::TryAgain { after, saying }
    }
}

/// Opens the connection, unless there is one, and sees to the topics. Waits for a server elsewhere as long as the
/// configuration says; nothing stays open after an error. `too_many_files` is what an operator is told in that case, where
/// more files are wanted than may be open.
///
/// # Errors
/// Why the broker cannot be used.
pub(super) async fn open(
    shared: Option<Arc<dyn IggyConnector>>,
    config: &mut Config,
    too_many_files: Option<String>,
) -> Result<(Arc<dyn IggyConnector>, Ownership), BuildError> {
    let patience = match (&shared, config.connector.mode) {
        (None, ConnectorMode::Remote) => config.connector.timeouts.first_answer,
        _ => Duration::ZERO,
    };
    let ownership = if shared.is_some() { Ownership::Shared } else { Ownership::Owned };
    let mut waiting = Waiting::new(patience, Instant::now());
    loop {
        let error = match try_once(shared.as_ref(), config).await {
            Ok(connector) => {
                if waiting.said.is_some() {
                    let waited =
                        humantime::format_duration(Duration::from_secs(waiting.began.elapsed().as_secs()));
                    tracing::info!("the broker answers after {waited}");
                }
                return Ok((connector, ownership));
            }
            Err(error) => error,
        };
        let Next::TryAgain { after, saying } = waiting.after(&error, Instant::now()) else {
            return Err(match too_many_files {
                Some(excess) => BuildError::OpenFiles { excess, source: error },
                None => BuildError::Connect(error),
            });
        };
        let patience = humantime::format_duration(patience);
        match saying {
            Saying::First => tracing::warn!(
                "the broker does not answer yet; it is waited for up to {patience} (events.iggy.remote.wait_max): {error}"
            ),
            Saying::Another => tracing::warn!("the broker still does not answer: {error}"),
            Saying::Nothing => {}
        }
        tokio::time::sleep(after).await;
    }
}

async fn try_once(
    shared: Option<&Arc<dyn IggyConnector>>,
    config: &mut Config,
) -> Result<Arc<dyn IggyConnector>, ConnectorError> {
    let (connector, ownership) = match shared {
        Some(shared) => (Arc::clone(shared), Ownership::Shared),
        None => {
            let connector = connector(config.connector.mode);
            connector.connect(&config.connector).await?;
            (connector, Ownership::Owned)
        }
    };
    if let Err(error) = ensure_topics(connector.as_ref(), config).await {
        close(connector.as_ref(), ownership).await;
        return Err(error);
    }
    Ok(connector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(text: &str) -> ConnectorError {
        ConnectorError::Connection(text.to_owned())
    }

    #[test]
    fn a_server_that_is_away_is_waited_for_and_each_reason_is_said_once() {
        let start = Instant::now();
        let mut waiting = Waiting::new(Duration::from_secs(60), start);
        let again = |millis, saying| Next::TryAgain { after: Duration::from_millis(millis), saying };
        assert_eq!(waiting.after(&away("refused"), start), again(250, Saying::First));
        assert_eq!(waiting.after(&away("refused"), start), again(500, Saying::Nothing));
        assert_eq!(waiting.after(&away("no name"), start), again(1_000, Saying::Another));
        let late = start + Duration::from_millis(59_900);
        assert_eq!(waiting.after(&away("no name"), late), again(100, Saying::Nothing));
        assert_eq!(waiting.after(&away("no name"), start + Duration::from_secs(60)), Next::GiveUp);
    }

    #[test]
    fn what_waiting_does_not_mend_ends_at_once() {
        let start = Instant::now();
        let mut waiting = Waiting::new(Duration::from_secs(60), start);
        assert_eq!(waiting.after(&ConnectorError::Auth("no".into()), start), Next::GiveUp);
        assert_eq!(waiting.after(&ConnectorError::Config("no".into()), start), Next::GiveUp);
        assert_eq!(waiting.after(&ConnectorError::Topology("no".into()), start), Next::GiveUp);
        assert_eq!(Waiting::new(Duration::ZERO, start).after(&away("refused"), start), Next::GiveUp);
    }
}
