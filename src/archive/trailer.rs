//! The trailer: a zstd skippable frame of fixed size at the very end that says where the outcomes lie. Decoders skip
//! it, so the object stays an ordinary `.tar.zst`.

use super::index::Frame;

/// The size of the trailer; a reader asks for this many bytes from the object's end.
pub const TRAILER_BYTES: u64 = 32;

/// One of the sixteen numbers that zstd reserves for skippable frames.
const SKIPPABLE: u32 = 0x184D_2A5A;
const MARK: [u8; 8] = *b"SLUICE\0\x01";
const PAYLOAD_BYTES: u32 = TRAILER_BYTES as u32 - 8;

/// What the trailer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// The place of the outcomes frame.
    pub outcomes: Frame,
}

impl Trailer {
    /// Reads the trailer from the last bytes of an archive ([`TRAILER_BYTES`] or more); none if they do not end in one.
    pub fn parse(tail: &[u8]) -> Option<Self> {
        let start = tail.len().checked_sub(TRAILER_BYTES as usize)?;
        let (head, place) = tail[start..].split_at(16);
        if head != Self::head() {
            return None;
        }
        let (offset, length) = place.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
        Some(Self { outcomes: Frame { offset: number(offset)?, length: number(length)? } })
    }

    /// Whether it fits an archive of this size: the outcomes frame ends where the trailer begins.
    pub fn fits(&self, archive_bytes: u64) -> bool {
        let Frame { offset, length } = self.outcomes;
        let end = offset.checked_add(length).and_then(|end| end.checked_add(TRAILER_BYTES));
        length > 0 && end == Some(archive_bytes)
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Frame { offset, length } = self.outcomes;
        [&Self::head()[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat()
    }

    fn head() -> [u8; 16] {
        let mut head = [0; 16];
        head[..4].copy_from_slice(&SKIPPABLE.to_le_bytes());
        head[4..8].copy_from_slice(&PAYLOAD_BYTES.to_le_bytes());
        head[8..].copy_from_slice(&MARK);
        head
    }
}
