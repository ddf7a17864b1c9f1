//! The grammar of .env files, as docs/env-files.md has it. What common tools read in
//! different ways is refused, not guessed at; lines may have any length.

use zeroize::Zeroizing;

use super::entries::{Entries, Problem, line_feeds};

/// Reads a whole file; a byte order mark is taken off already.
pub(super) fn read(text: &[u8], entries: &mut Entries) {
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let next = at + read_entry(&text[at..], line, entries);
        line += line_feeds(&text[at..next]);
        at = next;
    }
}

/// Reads what begins at the beginning of `text`, which is line `line`: mostly one line, more
/// if a quote goes on. Answers how many bytes that is.
fn read_entry(text: &[u8], line: usize, entries: &mut Entries) -> usize {
    let end = line_end(text, 0);
    let (content, next_line) = (without_return(&text[..end]), text.len().min(end + 1));
    if matches!(trim(content).first(), None | Some(b'#')) {
        return next_line;
    }
    let Some(equals) = content.iter().position(|&byte| byte == b'=') else {
        entries.problem(line, Problem::NoEquals);
        return next_line;
    };
    let name = without_export(trim(&content[..equals]));
    let after = &content[equals + 1..];
    let blanks = after.iter().take_while(|byte| is_blank(**byte)).count();
    let value_at = equals + 1 + blanks;
    match after.get(blanks) {
        Some(b'`') => entries.push(line, name, Err(Problem::Backquote)),
        Some(quote @ (b'"' | b'\'')) => {
            let quoted = find_end(text, value_at + 1, *quote, line);
            let value = quoted.and_then(|(end, _)| without_quotes(&text[value_at + 1..end], *quote));
            entries.push(line, name, value);
            // After a quote without a proper end, the next line is read as a line of its own.
            return quoted.map_or(next_line, |(_, next)| next);
        }
        _ => entries.push(line, name, Ok(Zeroizing::new(unquoted(after).to_vec()))),
    }
    next_line
}

/// `export NAME` is `NAME`; a secret may be called `export` as well.
fn without_export(name: &[u8]) -> &[u8] {
    match name.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(|byte| is_blank(*byte)) => trim(rest),
        _ => name,
    }
}

/// A value without quotes: up to a '#' that has a blank before it, without blanks around.
fn unquoted(after: &[u8]) -> &[u8] {
    let comment = after.windows(2).position(|pair| is_blank(pair[0]) && pair[1] == b'#');
    trim(&after[..comment.unwrap_or(after.len())])
}

/// Where a quote that was opened before `start` is closed, and where the line after that
/// begins.
fn find_end(text: &[u8], start: usize, quote: u8, line: usize) -> Result<(usize, usize), Problem> {
    let mut close = start;
    while *text.get(close).ok_or(Problem::OpenQuote)? != quote {
        close += if quote == b'"' && text[close] == b'\\' { 2 } else { 1 };
    }
    let end = line_end(text, close);
    let rest = without_return(&text[close + 1..end]);
    let comment = rest.first().is_some_and(|byte| is_blank(*byte)) && trim(rest).starts_with(b"#");
    if trim(rest).is_empty() || comment {
        return Ok((close, text.len().min(end + 1)));
    }
    Err(Problem::AfterQuote(line + line_feeds(&text[..close])))
}

/// The value between quotes; in double quotes backslashes are taken away.
fn without_quotes(inside: &[u8], quote: u8) -> Result<Zeroizing<Vec<u8>>, Problem> {
    if quote == b'\'' {
        return Ok(Zeroizing::new(inside.to_vec()));
    }
    // It never gets longer, so no unwiped copy is left behind.
    let mut value = Zeroizing::new(Vec::with_capacity(inside.len()));
    let mut bytes = inside.iter().copied();
    while let Some(byte) = bytes.next() {
        let meant = if byte == b'\\' { bytes.next().and_then(escaped) } else { Some(byte) };
        value.push(meant.ok_or(Problem::Escape)?);
    }
    Ok(value)
}

fn escaped(byte: u8) -> Option<u8> {
    match byte {
        b'\\' | b'"' | b'$' | b'`' => Some(byte),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().take_while(|byte| is_blank(**byte)).count();
    let rest = &text[start..];
    let end = rest.iter().rev().take_while(|byte| is_blank(**byte)).count();
    &rest[..rest.len() - end]
}

/// Where the line that `from` stands in ends: its line feed, or the end of the text.
fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|&byte| byte == b'\n').map_or(text.len(), |length| from + length)
}

/// A carriage return before the line feed belongs to the line's end.
fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests;
