//! Where a match can begin: the first two bytes of every pattern, in a table that most
//! pairs of bytes of an ordinary text are not in. Making it is all that is done ahead.

use zeroize::Zeroizing;

use super::pattern::Pattern;
use super::secrets::Secrets;

/// Number of chains; a power of two.
const CHAINS: usize = 2048;
/// Most pairs of the five forms of a secret, by form: 2 + 4 + 4 + 10 + 34.
const PAIRS: usize = 11;
/// Most first bytes of them, by form: 1 + 2 + 2 + 5 + 17.
const FIRSTS: usize = 6;
/// The byte can be the first of a pattern.
const BEGINS: u8 = 1;
/// The byte can begin an escape, or break base64 into lines.
const ESCAPES: u8 = 2;
/// After a backslash, the byte can be of use for a first or second character.
const FOLLOWS_BACKSLASH: u8 = 4;

/// The table.
pub(super) struct StartPairs {
    /// For each chain of pairs 1 + the index of its first entry; 0 for none.
    chains: Box<[u32; CHAINS]>,
    entries: Zeroizing<Vec<Entry>>,
    /// The same for each first byte: 1 + the index of its first entry.
    first_chains: [u32; 256],
    first_entries: Zeroizing<Vec<FirstEntry>>,
    classes: [u8; 256],
}

#[derive(Clone, Copy, Default)]
struct Entry {
    pair: [u8; 2],
    pattern: u32,
    next: u32,
}

#[derive(Clone, Copy, Default)]
struct FirstEntry {
    pattern: u32,
    next: u32,
}

impl zeroize::DefaultIsZeroes for Entry {}
impl zeroize::DefaultIsZeroes for FirstEntry {}

fn chain_of(first: u8, second: u8) -> usize {
    ((usize::from(first) << 4) ^ usize::from(second)) % CHAINS
}

impl StartPairs {
    /// Of all forms of these secrets.
    pub(super) fn of(secrets: &Secrets) -> Self {
        let mut table = Self {
            chains: Box::new([0; CHAINS]),
            entries: Zeroizing::default(),
            first_chains: [0; 256],
            first_entries: Zeroizing::default(),
            classes: [0; 256],
        };
        for byte in *b"\\uxnr%\r\n" {
            table.classes[usize::from(byte)] |= FOLLOWS_BACKSLASH;
        }
        for byte in *b"\\%\r\n" {
            table.classes[usize::from(byte)] |= ESCAPES;
        }
        if secrets.has_non_ascii() {
            for byte in [0xc2_u8, 0xc3] {
                table.classes[usize::from(byte)] |= ESCAPES | FOLLOWS_BACKSLASH;
            }
        }
        // Entries wander when the vector grows, and what stood there is not wiped; so it does not grow.
        table.entries.reserve_exact(secrets.pattern_count() * PAIRS);
        table.first_entries.reserve_exact(secrets.pattern_count() * FIRSTS);
        for (number, pattern) in secrets.patterns() {
            table.add(number, pattern);
        }
        table
    }

    fn add(&mut self, number: u32, pattern: Pattern<'_>) {
        let (mut firsts, mut seconds) = ([0; 66], [0; 66]);
        let (first_count, mut second_count) =
            (pattern.fitting(0, &mut firsts), pattern.fitting(1, &mut seconds));
        if pattern.plain_byte(1) == Some(b' ') {
            seconds[second_count] = b'+';
            second_count += 1;
        }
        for byte in firsts[..first_count].iter().chain(&seconds[..second_count]) {
            if !byte.is_ascii_alphanumeric() {
                self.classes[usize::from(*byte)] |= FOLLOWS_BACKSLASH;
            }
        }
        for &first in &firsts[..first_count] {
            self.classes[usize::from(first)] |= BEGINS;
            let chain = &mut self.first_chains[usize::from(first)];
            self.first_entries.push(FirstEntry { pattern: number, next: *chain });
            *chain = u32::try_from(self.first_entries.len()).unwrap_or(0);
            for &second in &seconds[..second_count] {
                let chain = &mut self.chains[chain_of(first, second)];
                self.entries.push(Entry { pair: [first, second], pattern: number, next: *chain });
                *chain = u32::try_from(self.entries.len()).unwrap_or(0);
            }
        }
    }

    /// Whether a pattern can begin with this byte as it stands.
    pub(super) fn begins(&self, byte: u8) -> bool {
        self.classes[usize::from(byte)] & BEGINS != 0
    }

    /// Whether this byte may be more than itself, with `after` behind it if that is known.
    pub(super) fn escapes(&self, byte: u8, after: Option<u8>) -> bool {
        let class = |byte: u8| self.classes[usize::from(byte)];
        class(byte) & ESCAPES != 0
            && after.is_none_or(|after| match byte {
                b'\\' => class(after) & FOLLOWS_BACKSLASH != 0,
                b'%' => after.is_ascii_hexdigit(),
                _ => true,
            })
    }

    /// The next place from `at` on where something can begin: the byte there can begin an
    /// escape, or is perhaps the second of a pattern. The length if there is none.
    pub(super) fn next_candidate(&self, text: &[u8], at: usize) -> usize {
        let Some(mut before) = text.get(at.wrapping_sub(1)).or(text.get(at)).copied() else { return at };
        for (index, &byte) in text.iter().enumerate().skip(at) {
            if self.chains[chain_of(before, byte)] != 0 || self.escapes(byte, None) {
                return index;
            }
            before = byte;
        }
        text.len()
    }

    /// The patterns that begin with these two bytes.
    pub(super) fn beginning_with(&self, first: u8, second: u8) -> impl Iterator<Item = u32> {
        let mut next = self.chains[chain_of(first, second)];
        std::iter::from_fn(move || {
            loop {
                let index = usize::try_from(next.checked_sub(1)?).ok()?;
                let entry = self.entries.get(index)?;
                next = entry.next;
                if entry.pair == [first, second] {
                    return Some(entry.pattern);
                }
            }
        })
    }

    /// The patterns that begin with this byte.
    pub(super) fn beginning(&self, first: u8) -> impl Iterator<Item = u32> {
        let mut next = self.first_chains[usize::from(first)];
        std::iter::from_fn(move || {
            let index = usize::try_from(next.checked_sub(1)?).ok()?;
            let entry = self.first_entries.get(index)?;
            next = entry.next;
            Some(entry.pattern)
        })
    }
}
