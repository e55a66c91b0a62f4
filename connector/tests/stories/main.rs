//! The public contract of the connector, told story by story against a real broker.
//!
//! Most stories run twice: with the embedded connector, and with the remote one against a broker that was started
//! beside it, or against the server that `GUESTHOUSE_TEST_IGGY=user:password@host:port` names.

#[cfg(test)]
mod kit;
#[cfg(test)]
mod proxy;

#[cfg(test)]
mod config;
#[cfg(test)]
mod consumer;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod gone_back;
#[cfg(test)]
mod group;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod health;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod official_client;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod read;
#[cfg(test)]
mod refusal;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod topology;
