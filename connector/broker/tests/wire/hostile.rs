//! Goal: no peer can hurt the broker or the other peers before it is known, and a broken one hurts only itself.
//! Method: frames cut at every byte, frames that lie about their size, and commands without a login.

use std::time::Duration;

use guesthouse_broker::Limits;
use iggy_binary_protocol::{Command, EvictionReason, HEADER_SIZE, Operation};
use tokio::io::AsyncWriteExt;

use crate::kit::{House, Raw, login_body, send_body, shut};

const STREAM_S: &[u8] = b"\x01s";

#[tokio::test]
async fn a_frame_cut_at_any_byte_changes_nothing() {
    let house = House::new();
    let broker = house.open().await;
    let mut witness = Raw::enter(&broker).await;
    witness.create_stream("s").await;
    witness.create_topic("s", "t", 1).await;
    let mut cut = Raw::enter(&broker).await;
    let frame = cut.frame(Operation::SendMessages, 0, &send_body(("s", "t", 0), &[(1, "whole")]));
    drop(cut);
    for length in (0..HEADER_SIZE).step_by(5).chain(HEADER_SIZE..frame.len()) {
        let mut raw = Raw::enter(&broker).await;
        raw.stream.write_all(&frame[..length]).await.unwrap();
        raw.stream.shutdown().await.unwrap();
        assert!(raw.answer().await.is_none(), "cut at {length}");
    }
    assert_eq!(witness.contents(("s", "t", 0)).await, []);
    shut(broker).await;
}

#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_is_understood() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let frame = raw.frame(Operation::CreateStream, 0, STREAM_S);
    raw.stream.set_nodelay(true).unwrap();
    for byte in frame {
        raw.stream.write_all(&[byte]).await.unwrap();
    }
    raw.answer().await.unwrap().ok();
    shut(broker).await;
}

#[tokio::test]
async fn two_frames_in_one_piece_get_two_answers() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let first = raw.frame(Operation::CreateStream, 0, STREAM_S);
    let second = raw.frame(Operation::CreateStream, 0, STREAM_S);
    raw.stream.write_all(&[first, second].concat()).await.unwrap();
    raw.answer().await.unwrap().ok();
    assert_eq!(raw.answer().await.unwrap().status(), 1012);
    shut(broker).await;
}

#[tokio::test]
async fn a_size_out_of_bounds_ends_the_connection() {
    let house = House::new();
    let broker = house.open().await;
    let (known, unknown) = (64 * 1024 * 1024 + 257, 64 * 1024 + 257);
    for size in [0, 1, 255, u32::MAX, known, unknown] {
        let mut raw =
            if size == unknown { Raw::dial(broker.address()).await } else { Raw::enter(&broker).await };
        let mut frame = raw.frame(Operation::NonReplicated, 1, &[]);
        frame[48..52].copy_from_slice(&size.to_le_bytes());
        raw.stream.write_all(&frame).await.unwrap();
        assert!(raw.answer().await.is_none(), "size {size}");
    }
    shut(broker).await;
}

#[tokio::test]
async fn what_is_not_a_request_ends_the_connection() {
    let house = House::new();
    let broker = house.open().await;
    let spoil: [(usize, u8); 5] = [(60, Command::Reply as u8), (60, 200), (176, 0), (176, 77), (128, 0)];
    for (at, value) in spoil {
        let mut raw = Raw::enter(&broker).await;
        let mut frame = raw.frame(Operation::NonReplicated, 1, &[]);
        frame[at] = value;
        raw.stream.write_all(&frame).await.unwrap();
        assert!(raw.answer().await.is_none(), "byte {at} = {value}");
    }
    let mut raw = Raw::dial(broker.address()).await;
    raw.stream
        .write_all(&[b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[b' '; HEADER_SIZE]].concat())
        .await
        .unwrap();
    assert!(raw.answer().await.is_none());
    shut(broker).await;
}

#[tokio::test]
async fn before_login_there_is_only_ping() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::dial(broker.address()).await;
    raw.header.session = 1;
    raw.read(1, &[]).await.ok();
    raw.ask(Operation::Logout, &[]).await.ok();
    for code in [10, 12, 20, 100, 120, 200, 201, 300, 600, 606, 9_999] {
        assert_eq!(raw.read(code, &[]).await.status(), 40, "code {code}");
    }
    for operation in [Operation::CreateStream, Operation::SendMessages, Operation::StoreConsumerOffset] {
        let reason = raw.ask(operation, STREAM_S).await.reason();
        assert_eq!(reason, EvictionReason::NoSession as u8, "{operation:?}");
    }
    shut(broker).await;
}

#[tokio::test]
async fn garbage_bodies_are_refused_and_the_connection_goes_on() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let operations = (128..=149).chain(160..=162).map(bytemuck::checked::cast::<u8, Operation>);
    for operation in operations {
        for body in [&[][..], &[0xff; 3], &[2, 255, 255, 255], &[0; 700]] {
            let answer = raw.ask(operation, body).await;
            assert_ne!(answer.status(), 0, "{operation:?} {body:?}");
        }
    }
    for code in [100, 120, 200, 300, 301, 600, 601, 606] {
        let status = raw.read(code, &[1, 200, 3]).await.status();
        assert_ne!(status, 0, "code {code}");
    }
    raw.create_stream("s").await;
    shut(broker).await;
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_unsupported() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    for code in [11, 14, 103, 104, 123] {
        assert_eq!(raw.read(code, &[]).await.status(), 5, "code {code}");
    }
    assert_eq!(raw.read(9_999, &[]).await.status(), 3);
    assert_eq!(raw.read(202, STREAM_S).await.status(), 3, "a change must come as an operation");
    assert_eq!(
        raw.ask(Operation::TruncatePartition, &[]).await.status(),
        3,
        "servers use it among themselves"
    );
    shut(broker).await;
}

#[tokio::test]
async fn a_body_that_is_not_what_was_stamped_is_refused() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.header.request_checksum = 12_345;
    assert_eq!(raw.ask(Operation::CreateStream, STREAM_S).await.status(), 4);
    raw.header.request_checksum = u128::from(iggy_common::calculate_checksum(STREAM_S));
    raw.ask(Operation::CreateStream, STREAM_S).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn those_who_do_not_log_in_are_few_and_do_not_stay() {
    let house = House::new();
    let limits = Limits { strangers_max: 1, login_time_max: Duration::from_millis(50), ..Limits::default() };
    let broker = house.open_with(limits).await;
    let mut known = loop {
        // The place of a stranger is free again once the one before has logged in.
        let mut raw = Raw::dial(broker.address()).await;
        let body =
            login_body("iggy", secrecy::ExposeSecret::expose_secret(&broker.root_credentials().password));
        let frame = raw.frame(Operation::Register, 0, &body);
        raw.stream.write_all(&frame).await.unwrap();
        if raw.answer().await.is_some() {
            break raw;
        }
    };
    let mut stranger = Raw::dial(broker.address()).await;
    assert!(stranger.answer().await.is_none(), "it is closed when it does not log in");
    known.header.session = 1;
    known.read(12, &[]).await.ok();
    shut(broker).await;
}

#[tokio::test]
async fn a_frame_that_never_ends_is_given_up() {
    let house = House::new();
    let limits = Limits { frame_time_max: Duration::from_millis(50), ..Limits::default() };
    let broker = house.open_with(limits).await;
    let mut raw = Raw::enter(&broker).await;
    raw.stream.write_all(&[0; 100]).await.unwrap();
    assert!(raw.answer().await.is_none());
    shut(broker).await;
}

#[tokio::test]
async fn connections_have_a_bound() {
    let house = House::new();
    let broker = house.open_with(Limits { connections_max: 2, ..Limits::default() }).await;
    let mut first = Raw::enter(&broker).await;
    let _second = Raw::enter(&broker).await;
    let mut third = Raw::dial(broker.address()).await;
    assert!(third.answer().await.is_none());
    first.read(12, &[]).await.ok();
    shut(broker).await;
}
