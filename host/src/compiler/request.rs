//! What a compiling process is told first: its limits, and how long the component is.

use std::io::{self, Read};
use std::time::Duration;

use super::CompileSettings;

/// Tells the two sides of one version of this protocol apart from anything else.
const MAGIC: [u8; 8] = *b"ghcomp01";

/// The head of a request; the bytes of the component follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// Seconds on a processor.
    pub(super) cpu_seconds_max: u64,
    /// Address space.
    pub(super) memory_bytes_max: u64,
    /// Length of the component.
    pub(super) component_bytes: u64,
}

impl Request {
    /// A request for a component of so many bytes.
    pub(super) fn new(settings: &CompileSettings, component_bytes: u64) -> Self {
        let seconds = settings.cpu_max.as_nanos().div_ceil(Duration::from_secs(1).as_nanos());
        Self {
            cpu_seconds_max: u64::try_from(seconds).unwrap_or(u64::MAX).max(1),
            memory_bytes_max: settings.memory_bytes_max,
            component_bytes,
        }
    }

    /// As it goes over the line.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let numbers = [self.cpu_seconds_max, self.memory_bytes_max, self.component_bytes];
        MAGIC.into_iter().chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect()
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it ends too early, or is none.
    pub(super) fn read(input: &mut impl Read) -> io::Result<Self> {
        if read_word(input)? != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "what came in is no request to compile"));
        }
        Ok(Self {
            cpu_seconds_max: u64::from_le_bytes(read_word(input)?),
            memory_bytes_max: u64::from_le_bytes(read_word(input)?),
            component_bytes: u64::from_le_bytes(read_word(input)?),
        })
    }
}

fn read_word(input: &mut impl Read) -> io::Result<[u8; 8]> {
    let mut word = [0; 8];
    input.read_exact(&mut word)?;
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_and_nothing_else_is_one() {
        let settings =
            CompileSettings { cpu_max: Duration::from_millis(1_500), ..CompileSettings::default() };
        let request = Request::new(&settings, 7);
        assert_eq!(request.cpu_seconds_max, 2);
        let bytes = request.to_bytes();
        assert_eq!(Request::read(&mut bytes.as_slice()).unwrap(), request);
        assert!((0..bytes.len()).all(|end| Request::read(&mut &bytes[..end]).is_err()));
        assert!(Request::read(&mut [b'x'; 32].as_slice()).is_err());
    }
}
