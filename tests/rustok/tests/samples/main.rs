//! The samples of the platform's documents, run.

#[cfg(test)]
mod connector;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod health;
#[cfg(test)]
mod names;
#[cfg(test)]
mod transport;
