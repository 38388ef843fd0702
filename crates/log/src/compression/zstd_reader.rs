//! Reads zstd frames with a context that is reused.

use std::io::{self, Read};

use zstd::zstd_safe::{self, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::DecompressionMemory;

/// Reads the frames of `data`, one after the other.
pub(crate) struct ZstdReader<'a> {
    /// `None` only while the reader is dropped.
    context: Option<DCtx<'static>>,
    data: &'a [u8],
    /// Whether a frame has begun and not ended.
    inside: bool,
    memory: Option<&'a DecompressionMemory>,
}

impl<'a> ZstdReader<'a> {
    pub(super) fn new(data: &'a [u8], memory: Option<&'a DecompressionMemory>) -> io::Result<Self> {
        let kept = memory.and_then(DecompressionMemory::take_context);
        let context = kept.or_else(DCtx::try_create);
        let mut context = context.ok_or(io::ErrorKind::OutOfMemory)?;
        context.reset(ResetDirective::SessionOnly).map_err(error)?;
        Ok(Self {
            context: Some(context),
            data,
            inside: false,
            memory,
        })
    }
}

fn error(code: usize) -> io::Error {
    io::Error::other(zstd_safe::get_error_name(code))
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(context) = self.context.as_mut() else {
            return Ok(0);
        };
        loop {
            if buf.is_empty() || (self.data.is_empty() && !self.inside) {
                return Ok(0);
            }
            let mut input = InBuffer::around(self.data);
            let mut output = OutBuffer::around(&mut *buf);
            let hint = context.decompress_stream(&mut output, &mut input);
            self.inside = hint.map_err(error)? != 0;
            let (read, written) = (input.pos(), output.pos());
            self.data = &self.data[read..];
            if written > 0 {
                return Ok(written);
            }
            if read == 0 && self.inside {
                let text = "the frame is truncated";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
    }
}

impl Drop for ZstdReader<'_> {
    fn drop(&mut self) {
        if let (Some(memory), Some(context)) = (self.memory, self.context.take()) {
            memory.keep_context(context);
        }
    }
}
