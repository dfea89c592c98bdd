//! A wire between an exchange and a service that it needs. It can be cut, fall silent, and be mended.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a wire does with what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Carries it.
    Whole,
    /// Ends every connection, and takes no other.
    Cut,
    /// Takes everything, and carries nothing, until it is mended.
    Silent,
    /// Carries what is on its way, and takes no other connection.
    Full,
    /// Carries it late, piece by piece.
    Slow,
    /// Ends each connection when the far end has said so many bytes.
    Truncating(usize),
    /// Carries it, but for a byte of each long row of the letter a.
    Changing,
}

/// How long such a row is.
const ROW: usize = 1000;

/// One wire: to a host and a port.
pub struct Wire {
    address: SocketAddr,
    far_end: String,
    state: watch::Sender<State>,
}

impl Wire {
    /// A whole wire to the host and port that a URL names.
    pub async fn to(url: &str) -> Self {
        let named = url::Url::parse(url).unwrap();
        let far_end = format!("{}:{}", named.host_str().unwrap(), named.port().unwrap());
        let near_end = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (state, seen)) = (near_end.local_addr().unwrap(), watch::channel(State::Whole));
        let (target, outlives_the_test) = (far_end.clone(), state.clone());
        tokio::spawn(async move {
            let _kept = outlives_the_test; // an exchange is looked over when its test has ended
            while let Ok((near, _)) = near_end.accept().await {
                if !matches!(*seen.borrow(), State::Cut | State::Full) {
                    tokio::spawn(carry(near, target.clone(), seen.clone()));
                }
            }
        });
        Self { address, far_end, state }
    }

    /// The same URL, through the wire.
    pub fn through(&self, url: &str) -> String {
        assert!(url.contains(&self.far_end), "the URL leads elsewhere");
        url.replacen(&self.far_end, &self.address.to_string(), 1)
    }

    pub fn becomes(&self, state: State) {
        self.state.send_replace(state);
    }
}

async fn carry(near: TcpStream, target: String, state: watch::Receiver<State>) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let mut cut = state.clone();
    tokio::select! {
        _ = cut.wait_for(|state| *state == State::Cut) => {}
        () = pump(from_far, to_near, state.clone(), true) => {}
        () = async {
            pump(from_near, to_far, state, false).await;
            std::future::pending().await // what is still to be answered comes
        } => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>, is_answer: bool) {
    let (mut buffer, mut carried) = ([0; 16 * 1024], 0);
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let Ok(now) = state.wait_for(|state| *state != State::Silent).await.map(|state| *state) else { return };
        let end = match now {
            State::Truncating(at) if is_answer && carried + read > at => at.saturating_sub(carried),
            _ => read,
        };
        carried += read;
        if let (true, State::Changing, Some(row)) =
            (is_answer, now, buffer[..read].windows(ROW).position(|row| row == [b'a'; ROW]))
        {
            buffer[row] = b'b';
        }
        if now == State::Slow {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if to.write_all(&buffer[..end]).await.is_err() || end < read {
            return;
        }
    }
}
