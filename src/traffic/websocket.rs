//! Passes a WebSocket's bytes, and ends it politely when it has to end.
//!
//! Nothing is decoded: [`Frames`] only knows where one frame ends and the next
//! begins (RFC 6455 section 5.2; extensions change what is in a frame, not its
//! length). There a close frame can be put in, with the code 1001, "going away":
//! both sides then know that it was no accident, and browsers that reconnect do.

use std::{future::Future, io, pin::pin, time::Duration};

use super::capture::{Ear, Tap};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    sync::watch,
    time::timeout,
};

/// For the frame under way to end, and both sides to hang up.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// As much as tokio's own copying takes at once.
const PIECE: usize = 8 * 1024;

/// FIN and the opcode of a close frame; the length, which the mask's bit joins;
/// 1001, going away.
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// Passes bytes both ways until both sides are done, or there is a reason to part.
///
/// # Errors
/// If a side breaks off.
pub(super) async fn pass<C, U>(
    client: C,
    upstream: U,
    mask: [u8; 4],
    tap: Option<Tap>,
    parting: impl Future<Output = &'static str>,
) -> io::Result<Option<&'static str>>
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_upstream, mut to_upstream) = split(upstream);
    let (part, parted) = watch::channel(false);
    let (from_client_heard, from_service_heard) = tap.map_or((None, None), |tap| {
        (Some(tap.from_client), Some(tap.from_service))
    });
    // What comes from clients is masked, what comes from servers is not.
    let up = one_way(
        &mut from_client,
        &mut to_upstream,
        Some(mask),
        from_client_heard,
        parted.clone(),
    );
    let down = one_way(
        &mut from_upstream,
        &mut to_client,
        None,
        from_service_heard,
        parted,
    );
    let mut both = pin!(async { tokio::try_join!(up, down) });
    // Neither arm is gone on with after the other, but in the one place below.
    let why = tokio::select! {
        ended = &mut both => return ended.map(|_| None),
        why = parting => why,
    };
    part.send_replace(true);
    // Whoever does not end its frame, or does not hang up, is hung up on.
    let _ = timeout(FAREWELL_WITHIN, both).await;
    Ok(Some(why))
}

async fn one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mask: Option<[u8; 4]>,
    mut ear: Option<Ear>,
    mut parted: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut frames = Frames::default();
    loop {
        let is_parting = *parted.borrow();
        if is_parting && frames.is_between() {
            break;
        }
        let most = match is_parting {
            true => frames.surely_left(),
            false => PIECE,
        };
        // Both arms may be dropped: neither takes anything before it is done.
        let count = tokio::select! {
            count = from.read(&mut buffer[..most.min(PIECE)]) => count?,
            _ = parted.wait_for(|parted| *parted), if !is_parting => continue,
        };
        if count == 0 {
            return to.shutdown().await;
        }
        frames.passed(&buffer[..count]);
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
        if let Some(ear) = &mut ear {
            ear.hear(&buffer[..count]);
        }
    }
    if !frames.has_closed() {
        to.write_all(&close_frame(mask)).await?;
    }
    to.shutdown().await?;
    // Closing a socket with bytes unread would take back what was just said.
    while from.read(&mut buffer).await? > 0 {}
    Ok(())
}

fn close_frame(mask: Option<[u8; 4]>) -> Vec<u8> {
    let length = 2;
    match mask {
        None => [&[CLOSE, length], &GOING_AWAY[..]].concat(),
        Some(mask) => {
            let code = [GOING_AWAY[0] ^ mask[0], GOING_AWAY[1] ^ mask[1]];
            [&[CLOSE, MASKED | length], &mask[..], &code].concat()
        }
    }
}

/// Where the frames of one direction begin and end.
#[derive(Debug, Default)]
struct Frames {
    place: Place,
    has_closed: bool,
}

/// What the next byte is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first of a frame.
    #[default]
    Between,
    /// The one with the mask's bit and the length.
    Length,
    /// One of `missing` more bytes of a longer length, then of a mask.
    Longer {
        so_far: u64,
        missing: u8,
        has_mask: bool,
    },
    /// One of so many of the mask and the payload.
    Rest(u64),
}

impl Place {
    /// After the header but for the mask.
    fn rest(payload: u64, has_mask: bool) -> Self {
        match payload.saturating_add(if has_mask { 4 } else { 0 }) {
            0 => Self::Between,
            rest => Self::Rest(rest),
        }
    }
}

impl Frames {
    /// Looks at bytes that pass: only at those of headers.
    fn passed(&mut self, mut bytes: &[u8]) {
        while let [byte, after @ ..] = bytes {
            bytes = after;
            self.place = match self.place {
                Place::Between => {
                    self.has_closed |= byte & 0x0f == 0x08;
                    Place::Length
                }
                Place::Length => {
                    let has_mask = byte & MASKED != 0;
                    let longer = |missing| Place::Longer {
                        so_far: 0,
                        missing,
                        has_mask,
                    };
                    match byte & !MASKED {
                        126 => longer(2),
                        127 => longer(8),
                        payload => Place::rest(u64::from(payload), has_mask),
                    }
                }
                Place::Longer {
                    so_far,
                    missing,
                    has_mask,
                } => {
                    let so_far = so_far << 8 | u64::from(*byte);
                    match missing - 1 {
                        0 => Place::rest(so_far, has_mask),
                        missing => Place::Longer {
                            so_far,
                            missing,
                            has_mask,
                        },
                    }
                }
                Place::Rest(rest) => {
                    let passed = rest.min(after.len() as u64 + 1);
                    // The first of them is off already.
                    let others = usize::try_from(passed - 1).unwrap_or(after.len());
                    bytes = &after[others..];
                    Place::rest(rest - passed, false)
                }
            };
        }
    }

    /// The next byte is the first of a frame.
    fn is_between(&self) -> bool {
        self.place == Place::Between
    }

    /// A close frame has begun: nothing may come after it.
    fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// So many bytes more are certainly of the same frame.
    fn surely_left(&self) -> usize {
        match self.place {
            Place::Between | Place::Length => 1,
            Place::Longer { missing, .. } => usize::from(missing),
            Place::Rest(rest) => usize::try_from(rest).unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as RFC 6455 section 5.2 has it.
    fn frame(opcode: u8, length: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        let bit = if mask.is_some() { MASKED } else { 0 };
        match length {
            0..126 => frame.push(bit | u8::try_from(length).unwrap()),
            126..65536 => {
                frame.push(bit | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask.into_iter().flatten());
        // Looks like the start of a close frame, if anybody should look.
        frame.extend(std::iter::repeat_n(CLOSE, length));
        frame
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let length = prop_oneof![0..4_usize, 124..129_usize, 65534..65538_usize];
        let mask = proptest::option::of(any::<[u8; 4]>());
        let one =
            (0..8_u8, length, mask).prop_map(|(opcode, length, mask)| frame(opcode, length, mask));
        proptest::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn it_is_between_two_frames_exactly_where_one_ends(
            frames in frames(),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut ends = vec![0];
            let mut bytes = Vec::new();
            for frame in &frames {
                bytes.extend(frame);
                ends.push(bytes.len());
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend(&ends);
            cuts.sort_unstable();
            let (mut seen, mut at) = (Frames::default(), 0);
            for cut in cuts {
                seen.passed(&bytes[at..cut]);
                at = cut;
                prop_assert_eq!(seen.is_between(), ends.contains(&at), "at {}", at);
            }
            prop_assert!(!seen.has_closed());
        }

        #[test]
        fn reading_what_is_surely_left_stops_at_the_end_of_the_frame(
            frames in frames(),
            start in any::<prop::sample::Index>(),
        ) {
            let bytes = frames.concat();
            let mut at = start.index(bytes.len() + 1);
            let mut ends = frames.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            });
            let end = ends.find(|end| *end >= at).unwrap_or(0);
            let starts_one = ends_at(&frames, at);
            let mut seen = Frames::default();
            seen.passed(&bytes[..at]);
            while !seen.is_between() {
                let next = at + seen.surely_left();
                prop_assert!(next <= end);
                seen.passed(&bytes[at..next]);
                at = next;
            }
            prop_assert!(at == end || starts_one);
        }

        #[test]
        fn no_bytes_are_too_strange(pieces in proptest::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut whole = Frames::default();
            whole.passed(&pieces.concat());
            let mut cut = Frames::default();
            pieces.iter().for_each(|piece| cut.passed(piece));
            prop_assert_eq!((whole.place, whole.has_closed), (cut.place, cut.has_closed));
            prop_assert!(whole.surely_left() > 0);
        }
    }

    fn ends_at(frames: &[Vec<u8>], at: usize) -> bool {
        let mut sum = 0;
        at == 0
            || frames.iter().any(|frame| {
                sum += frame.len();
                sum == at
            })
    }

    #[test]
    fn a_close_frame_is_seen_wherever_its_bytes_are_cut() {
        let mut frames = Frames::default();
        frames.passed(&frame(1, 300, None));
        assert!(!frames.has_closed());
        frames.passed(&[CLOSE]);
        assert!(frames.has_closed());
    }

    #[test]
    fn our_close_frames_say_1001_masked_and_bare() {
        assert_eq!(close_frame(None), [0x88, 2, 0x03, 0xe9]);
        let masked = close_frame(Some([1, 2, 3, 4]));
        assert_eq!(masked, [0x88, 0x82, 1, 2, 3, 4, 0x02, 0xeb]);
        for frame in [close_frame(None), masked] {
            let mut frames = Frames::default();
            frames.passed(&frame);
            assert!(frames.is_between() && frames.has_closed());
        }
    }
}
