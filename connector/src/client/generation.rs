//! Servers of an older generation: Iggy 0.8 and before frame requests differently, and leave a client of today
//! without an answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long such a server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A ping in the old framing: the length of what follows, and the code of the command, both little-endian.
const OLD_PING: [u8; 8] = [4, 0, 0, 0, 1, 0, 0, 0];

/// Its answer: a status of zero, and the length of an empty body.
const OLD_ANSWER: [u8; 8] = [0; 8];

/// Whether the server at this address answers a ping of the old framing. Waits two seconds at most. A server of
/// today takes the eight bytes for the beginning of a longer header, and says nothing.
pub(super) async fn is_older(address: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&OLD_PING).await?;
        let mut answer = [0xff; 8];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer == OLD_ANSWER)
    };
    matches!(timeout(ANSWER_TIMEOUT, asked).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Listens, reads a request in the old framing, and answers with these bytes.
    async fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(request, OLD_PING);
            stream.write_all(answer).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn a_server_of_the_old_framing_is_recognised_by_its_answer() {
        assert!(is_older(&server(&OLD_ANSWER).await).await);
    }

    #[tokio::test]
    async fn what_says_something_else_or_nothing_is_not_taken_for_one() {
        assert!(!is_older(&server(b"HTTP/1.1 400 Bad Request").await).await);
        assert!(!is_older(&server(b"").await).await);
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(!is_older(&closed.to_string()).await);
    }
}
