//! Decompression within limits: whoever made a shard chose its bytes, and a few of them can stand for very many.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The largest window that a Zstandard frame may ask for: that of `zstd --long`.
const MAX_WINDOW_BYTES: u64 = 128 * 1024 * 1024;
/// How many bytes a shard may unpack to, whatever its own size.
const FREE_BYTES: u64 = 1024 * 1024;

/// How much a shard may make of itself.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What it unpacks to, in bytes.
    pub unpacked_bytes: u64,
    /// What it unpacks to for each of its own bytes, after the first mebibyte.
    pub ratio: u64,
    /// One record, in bytes.
    pub record_bytes: u64,
}

impl Limits {
    /// What real corpora stay far below.
    pub const ORDINARY: Self = Self { unpacked_bytes: 64 << 30, ratio: 300, record_bytes: 16 << 20 };

    /// Refuses what unpacked to too much, after `taken` bytes of the shard.
    ///
    /// # Errors
    /// With the limit.
    pub fn check(&self, unpacked: u64, taken: u64) -> io::Result<()> {
        let Self { unpacked_bytes, ratio, .. } = *self;
        if unpacked > unpacked_bytes {
            return Err(io::Error::other(format!("it unpacks to more than {unpacked_bytes} bytes")));
        }
        if unpacked > FREE_BYTES.saturating_add(taken.saturating_mul(ratio)) {
            return Err(io::Error::other(format!("it unpacks to more than {ratio} times its size")));
        }
        Ok(())
    }
}

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// With gzip (RFC 1952), in one member or several.
    Gzip,
    /// With Zstandard (RFC 8878), in one frame or several.
    Zstd,
}

/// Unpacks what a reader gives.
pub(super) fn unpack<'a>(packed: impl BufRead + 'a, packing: Option<Packing>) -> Box<dyn Read + 'a> {
    match packing {
        None => Box::new(packed),
        Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(packed)),
        Some(Packing::Zstd) => Box::new(Frames::new(packed)),
    }
}

/// The frames of a Zstandard file, one after the other; what applications put between them is passed over.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW_BYTES);
        Self { source, decoder, in_frame: false }
    }

    /// Begins the next frame; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.begin()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            let length = self.decoder.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            if self.decoder.is_finished() {
                self.in_frame = false;
            } else {
                let block = self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                block.map_err(|error| io::Error::other(error.to_string()))?;
            }
        }
    }
}
