//! `wasi:random` for guests: randomness for keys and tokens with the grant `random`, and seeds of hash maps for all.
//!
//! All of it comes from the generator of the thread, which the operating system seeds: what one guest gets says
//! nothing about what another gets, or about the host.

use rand::Rng;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::sandbox::state::GuestState;
use crate::sandbox::stop::GuestStop;

/// The interface of good randomness, without its version.
pub(super) const RANDOM: &str = "wasi:random/random";
/// The interface of cheap randomness, without its version. It gets the good one.
pub(super) const INSECURE: &str = "wasi:random/insecure";
/// The interface of the seeds of hash maps, without its version.
pub(super) const INSECURE_SEED: &str = "wasi:random/insecure-seed";

/// Most bytes of one call.
const BYTES_MAX: u64 = 64 << 10;

/// Links what every component gets: a seed that is drawn once for each guest.
pub(super) fn link_seed(linker: &mut Linker<GuestState>, version: &str) -> wasmtime::Result<()> {
    let mut seed = linker.instance(&format!("{INSECURE_SEED}@{version}"))?;
    seed.func_wrap("insecure-seed", |guest: StoreContextMut<'_, GuestState>, (): ()| Ok((guest.data().seed,)))
}

/// Links what the grant allows.
pub(super) fn link(linker: &mut Linker<GuestState>, version: &str) -> wasmtime::Result<()> {
    for (interface, bytes, number) in [
        (RANDOM, "get-random-bytes", "get-random-u64"),
        (INSECURE, "get-insecure-random-bytes", "get-insecure-random-u64"),
    ] {
        let mut random = linker.instance(&format!("{interface}@{version}"))?;
        random.func_wrap(bytes, |_, (count,): (u64,)| Ok((random_bytes(count)?,)))?;
        random.func_wrap(number, |_, (): ()| Ok((rand::random::<u64>(),)))?;
    }
    Ok(())
}

fn random_bytes(count: u64) -> Result<Vec<u8>, GuestStop> {
    let asked = usize::try_from(count).ok().filter(|_| count <= BYTES_MAX);
    let asked = asked.ok_or(GuestStop::RandomBytes { asked: count, allowed: BYTES_MAX })?;
    let mut bytes = vec![0; asked];
    rand::rng().fill_bytes(&mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_random_and_bounded() {
        let bytes = random_bytes(BYTES_MAX).unwrap();
        assert_eq!(bytes.len() as u64, BYTES_MAX);
        assert!((0..=u8::MAX).all(|byte| bytes.contains(&byte)));
        assert_eq!(random_bytes(0).unwrap(), [0_u8; 0]);
        let refused = random_bytes(BYTES_MAX + 1).unwrap_err().to_string();
        assert_eq!(refused, "the guest asked for 65537 random bytes at once, may have 65536");
        assert!(random_bytes(u64::MAX).is_err());
    }
}
