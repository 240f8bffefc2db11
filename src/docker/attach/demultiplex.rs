//! Takes apart the stream in which the engine mixes standard output and error.
//!
//! Each frame is a header of eight bytes (which stream, three zeros, a length)
//! and that many bytes. A payload is handed out as it arrives, never collected,
//! so that memory does not depend on the length a header claims. Anything that
//! is no such header is an error: guessing, as others do, corrupts binary output.

use bytes::{Buf, Bytes, BytesMut};

/// Some bytes that a process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// To its standard output, or to its terminal.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
}

impl Frame {
    /// The bytes, wherever they go.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Out(bytes) | Self::Err(bytes) => bytes,
        }
    }
}

/// Why a stream cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// What should be a header is none.
    #[error(
        "the engine sent {} where the header of a frame should be",
        hex(header)
    )]
    Header {
        /// What was there.
        header: [u8; 8],
    },
    /// The stream ended within a frame.
    #[error("the engine's stream was cut in the middle of a frame")]
    Cut,
    /// The engine itself reports a failure inside the stream.
    #[error("{message}")]
    Engine {
        /// Its words.
        message: String,
    },
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// The engine's own failures are sentences; more than this is not one.
const LONGEST_MESSAGE: usize = 16 * 1024;

/// Which stream the payload that is being read belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
    Engine,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    Payload { stream: Stream, left: usize },
}

/// Bytes in, frames out.
#[derive(Debug)]
pub struct Demultiplexer {
    state: State,
    buffer: BytesMut,
    message: Vec<u8>,
}

impl Default for Demultiplexer {
    fn default() -> Self {
        Self {
            state: State::Header,
            buffer: BytesMut::new(),
            message: Vec::new(),
        }
    }
}

impl Demultiplexer {
    /// Where the next bytes of the stream are to be appended.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next frame, or a part of one; `None` if more bytes are needed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) = self.buffer.first_chunk::<8>().copied() else {
                        return Ok(None);
                    };
                    self.state = read_header(header)?;
                    self.buffer.advance(header.len());
                }
                State::Payload { stream, left: 0 } => {
                    self.state = State::Header;
                    if stream == Stream::Engine {
                        return Err(self.engine_failure());
                    }
                }
                State::Payload { stream, left } => {
                    if self.buffer.is_empty() {
                        return Ok(None);
                    }
                    let length = left.min(self.buffer.len());
                    let bytes = self.buffer.split_to(length).freeze();
                    self.state = State::Payload {
                        stream,
                        left: left - length,
                    };
                    match stream {
                        Stream::Out => return Ok(Some(Frame::Out(bytes))),
                        Stream::Err => return Ok(Some(Frame::Err(bytes))),
                        Stream::Engine => {
                            let room = LONGEST_MESSAGE - self.message.len();
                            self.message.extend(bytes.iter().take(room));
                        }
                    }
                }
            }
        }
    }

    /// The stream has ended: was that between two frames?
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.state {
            State::Header if self.buffer.is_empty() => Ok(()),
            _ => Err(FrameError::Cut),
        }
    }

    fn engine_failure(&mut self) -> FrameError {
        let message = String::from_utf8_lossy(&self.message).trim().to_owned();
        self.message.clear();
        FrameError::Engine { message }
    }
}

fn read_header(header: [u8; 8]) -> Result<State, FrameError> {
    let [stream, 0, 0, 0, length @ ..] = header else {
        return Err(FrameError::Header { header });
    };
    let stream = match stream {
        // 0 is standard input, which the engine never sends; its own client
        // takes it for output, and so do we.
        0 | 1 => Stream::Out,
        2 => Stream::Err,
        3 => Stream::Engine,
        _ => return Err(FrameError::Header { header }),
    };
    let left =
        usize::try_from(u32::from_be_bytes(length)).map_err(|_| FrameError::Header { header })?;
    Ok(State::Payload { stream, left })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0][..], &length, payload].concat()
    }

    /// Everything that comes out, neighbours of one stream joined.
    fn decode(chunks: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), FrameError> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut demultiplexer = Demultiplexer::default();
        for chunk in chunks {
            demultiplexer.buffer().extend_from_slice(chunk);
            while let Some(frame) = demultiplexer.next_frame()? {
                match frame {
                    Frame::Out(bytes) => out.extend_from_slice(&bytes),
                    Frame::Err(bytes) => err.extend_from_slice(&bytes),
                }
            }
        }
        demultiplexer.finish()?;
        Ok((out, err))
    }

    #[test]
    fn a_stream_split_anywhere_comes_out_the_same() {
        let stream = [
            encode(1, b"out\n"),
            encode(2, b"\x01\0\0\0\0\0\0\x02"),
            encode(1, b""),
            encode(1, &[0xff, 0, 1, 2]),
        ]
        .concat();
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
                let (out, err) = decode(&chunks).unwrap();
                assert_eq!(out, b"out\n\xff\0\x01\x02");
                assert_eq!(err, b"\x01\0\0\0\0\0\0\x02");
            }
        }
    }

    #[test]
    fn a_payload_is_handed_out_before_its_frame_is_complete() {
        let mut demultiplexer = Demultiplexer::default();
        let claims_four_gigabytes = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'x'];
        demultiplexer
            .buffer()
            .extend_from_slice(&claims_four_gigabytes);
        let frame = demultiplexer.next_frame().unwrap();
        assert_eq!(frame, Some(Frame::Out(Bytes::from_static(b"x"))));
        assert_eq!(demultiplexer.next_frame().unwrap(), None);
        assert_eq!(demultiplexer.finish(), Err(FrameError::Cut));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for garbage in [
            *b"hello wo",
            [4, 0, 0, 0, 0, 0, 0, 1],
            [1, 1, 0, 0, 0, 0, 0, 1],
            [1, 0, 0, 9, 0, 0, 0, 1],
        ] {
            assert_eq!(
                decode(&[&garbage]),
                Err(FrameError::Header { header: garbage })
            );
        }
    }

    #[test]
    fn a_stream_cut_in_a_frame_is_an_error_after_its_bytes() {
        let stream = encode(1, b"abc");
        for length in 1..stream.len() {
            assert_eq!(decode(&[&stream[..length]]), Err(FrameError::Cut));
        }
    }

    #[test]
    fn a_failure_of_the_engine_is_told_in_its_words() {
        let stream = encode(3, b"the log driver gave up\n");
        let failure = decode(&[&stream[..12], &stream[12..]]).unwrap_err();
        assert_eq!(failure.to_string(), "the log driver gave up");
        let endless = encode(3, &vec![b'x'; 100_000]);
        let failure = decode(&[&endless]).unwrap_err();
        assert_eq!(failure.to_string().len(), LONGEST_MESSAGE);
    }

    proptest! {
        #[test]
        fn what_was_multiplexed_comes_out_whole(
            frames in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let (mut stream, mut out, mut err) = (Vec::new(), Vec::new(), Vec::new());
            for (is_out, payload) in &frames {
                stream.extend(encode(if *is_out { 1 } else { 2 }, payload));
                if *is_out { &mut out } else { &mut err }.extend_from_slice(payload);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&chunks).unwrap(), (out, err));
        }

        #[test]
        fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&[&stream]);
        }
    }
}
