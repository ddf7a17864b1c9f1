//! Bytes of a message that has not ended yet. They are counted while the call waits for its
//! client; while the client is there, its connection bounds them, as in all calls.

use super::parked_calls::Room;
use super::wanted_input::WantedInput;

/// Bytes from which on they are counted.
const COUNTED_FROM: usize = 64 << 10;

/// What has come of one.
#[derive(Default)]
pub(super) struct Unfinished {
    /// Whether the call waits for its client.
    is_parked: bool,
    bytes: usize,
    /// What is counted.
    counted: Option<Room>,
    /// For pieces that waited already when the client was told to come back.
    waiting: Option<Room>,
}

impl Unfinished {
    /// Nothing of it is kept any more.
    pub(super) fn clear(&mut self) {
        (self.counted, self.waiting) = (None, None);
    }
}

impl WantedInput {
    /// Notes how many bytes there are of a message that has not ended. `false` if there is no room
    /// for them.
    pub(in crate::server::gateway) fn holds(&self, bytes: usize) -> bool {
        let mut table = self.table();
        table.unfinished.bytes = bytes;
        let is_parked = table.unfinished.is_parked;
        drop(table);
        !is_parked || self.counts_unfinished()
    }

    /// From now on the call waits for its client, and so many bytes of pieces with it. `false` if
    /// there is no room for what it holds.
    pub(super) fn park(&self, waiting: usize) -> bool {
        self.table().unfinished.is_parked = true;
        let Some(room) = self.budget().room(waiting, || !self.is_closed()) else { return false };
        self.table().unfinished.waiting = Some(room);
        self.counts_unfinished()
    }

    /// Whether it does.
    pub(super) fn is_parked(&self) -> bool {
        self.table().unfinished.is_parked
    }

    /// Its client is there: what it holds is bounded by the connection, as for all calls.
    pub(super) fn unpark(&self) {
        let mut table = self.table();
        table.unfinished.is_parked = false;
        table.unfinished.clear();
    }

    fn counts_unfinished(&self) -> bool {
        let more = {
            let mut table = self.table();
            if table.unfinished.bytes <= COUNTED_FROM || table.is_closed {
                table.unfinished.counted = None;
                return true;
            }
            table.unfinished.bytes.saturating_sub(table.unfinished.counted.as_ref().map_or(0, Room::bytes))
        };
        let more = if more == 0 { return true } else { self.budget().room(more, || !self.is_closed()) };
        let mut table = self.table();
        let is_closed = table.is_closed;
        match (more.filter(|_| !is_closed), &mut table.unfinished.counted) {
            (Some(more), Some(room)) => room.absorb(more),
            (Some(more), none) => *none = Some(more),
            (None, counted) => {
                *counted = None;
                return is_closed;
            }
        }
        true
    }
}
