//! The secrets of a file on their way to the server, and what is wrong with the file: each
//! problem with its line number, and never with a word of what stands there.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::api::secrets_batch::MAX_BATCH_ENTRIES;
use crate::cli::failure::Failure;
use crate::domain::secret_name::NameProblem;
use crate::domain::{SecretName, SecretValue, ValueProblem};

/// Most problems that are shown; of the others the number is told.
const MAX_SHOWN: usize = 1_000;

/// One secret that may be sent.
#[derive(Debug)]
pub(super) struct Entry {
    /// Line on which it begins, from 1.
    pub line: usize,
    pub name: SecretName,
    pub value: SecretValue,
}

/// What is wrong on a line. No variant holds any text of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("there is no '='; a line is NAME=VALUE, a comment that begins with '#', or empty")]
    NoEquals,
    #[error(transparent)]
    Name(#[from] NameProblem),
    #[error(transparent)]
    Value(#[from] ValueProblem),
    #[error("the same name stands on line {0}")]
    Duplicate(usize),
    #[error("the quote that begins here is not closed")]
    OpenQuote,
    #[error("there is more text after the closing quote (line {0})")]
    AfterQuote(usize),
    #[error("in double quotes a backslash stands before one of \\ \" $ ` n r t only")]
    Escape,
    #[error("a value that begins with a backquote is read in different ways; put it in single quotes")]
    Backquote,
    #[error("this is not valid UTF-16 text")]
    NotUtf16,
    #[error("this is not UTF-8 text")]
    NotUtf8,
    #[error("this is not valid JSON")]
    NotJson,
    #[error("the JSON is not an object of names and values, {{\"NAME\": \"value\"}}")]
    NotAnObject,
    #[error("the value is not a text; put it in double quotes")]
    NotAString,
    #[error("more than {MAX_BATCH_ENTRIES} secrets cannot be imported at once; this is the first too many")]
    TooMany,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Entries {
    legal: Vec<Entry>,
    lines: HashMap<SecretName, usize>,
    problems: Vec<(usize, Problem)>,
    problem_count: usize,
}

impl Entries {
    /// Takes what begins on this line, a name and a value or why there is none, and finds
    /// what is wrong with it.
    pub(super) fn push(&mut self, line: usize, name: &[u8], value: Result<Zeroizing<Vec<u8>>, Problem>) {
        let name = match std::str::from_utf8(name).map_err(|_| NameProblem).and_then(SecretName::parse) {
            Ok(name) => Some(name),
            Err(problem) => {
                self.problem(line, problem.into());
                None
            }
        };
        let first = name.as_ref().and_then(|name| self.lines.get(name).copied());
        if let Some(first) = first {
            self.problem(line, Problem::Duplicate(first));
        }
        let value = value.and_then(|mut bytes| Ok(SecretValue::parse(std::mem::take(&mut *bytes))?));
        let value = value.map_err(|problem| self.problem(line, problem)).ok();
        let (Some(name), None) = (name, first) else { return };
        if self.lines.len() == MAX_BATCH_ENTRIES {
            self.problem(line, Problem::TooMany);
        }
        // From there on names are not kept: the file is refused.
        if self.lines.len() <= MAX_BATCH_ENTRIES {
            self.lines.insert(name.clone(), line);
            self.legal.extend(value.map(|value| Entry { line, name, value }));
        }
    }

    /// Notes what is wrong on a line.
    pub(super) fn problem(&mut self, line: usize, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < MAX_SHOWN {
            self.problems.push((line, problem));
        }
    }

    /// The secrets, if nothing is wrong; `source` is `the file` or the like.
    ///
    /// # Errors
    /// Exit 2, with every problem; or when there is nothing at all.
    pub(super) fn finish(mut self, source: &str) -> Result<Vec<Entry>, Failure> {
        if self.problem_count > 0 {
            self.problems.sort_by_key(|(line, _)| *line);
            return Err(self.refused(source));
        }
        if self.legal.is_empty() {
            return Err(Failure::invalid_value(format!("{source} holds no secrets; nothing was sent"))
                .with_hint("to delete every secret of an MCP server use 'aerostack secrets delete --all'"));
        }
        Ok(self.legal)
    }

    fn refused(&self, source: &str) -> Failure {
        let counted = if self.problem_count == 1 {
            "a problem".to_owned()
        } else {
            format!("{} problems", self.problem_count)
        };
        let mut details: Vec<String> =
            self.problems.iter().map(|(line, problem)| format!("line {line}: {problem}")).collect();
        let hidden = self.problem_count - self.problems.len();
        if hidden > 0 {
            details.push(format!("and {hidden} more"));
        }
        let way_out = self.problems.iter().find_map(|(_, problem)| way_out(*problem));
        Failure::invalid_value(format!("{source} has {counted}; nothing was sent"))
            .with_details(&details)
            .with_hint(way_out.unwrap_or("'aerostack secrets import --help' shows how a file is written"))
    }
}

/// Number of line feeds.
pub(super) fn line_feeds(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

/// What a person can do about it, where that is not plain from the problem.
fn way_out(problem: Problem) -> Option<&'static str> {
    match problem {
        Problem::Value(ValueProblem::Empty) => {
            Some("take a line without a value out; to remove a secret use 'aerostack secrets delete'")
        }
        Problem::Value(problem) => Some(problem.way_out()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, &str)]) -> Entries {
        let mut entries = Entries::default();
        for (index, (name, value)) in list.iter().enumerate() {
            entries.push(index + 1, name.as_bytes(), Ok(Zeroizing::new(value.as_bytes().to_vec())));
        }
        entries
    }

    #[test]
    fn every_problem_is_told_with_its_line_and_nothing_else() {
        let list =
            [("A", "canary"), ("canary-1", ""), ("B", " canary"), ("A", "canary\ncanary"), ("C", "canary")];
        let failure = entries(&list).finish("the file").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        assert_eq!(
            failure.whole_message(),
            "the file has 5 problems; nothing was sent\n  \
             line 2: a secret's name is 1 to 128 letters, digits and '_', and does not begin with a digit\n  \
             line 2: the value is empty\n  \
             line 3: the value begins or ends with a blank, which HTTP would drop\n  \
             line 4: the same name stands on line 1\n  \
             line 4: the value has more than one line; an HTTP header has one"
        );
        assert!(failure.hint().unwrap().contains("secrets delete"));
        assert!(!format!("{failure:?}").contains("canary"));
    }

    #[test]
    fn a_thousand_and_not_one_more() {
        let names: Vec<String> = (0..1_003).map(|number| format!("N{number}")).collect();
        let list: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        assert_eq!(entries(&list[..1_000]).finish("the file").unwrap().len(), 1_000);
        let failure = entries(&list).finish("the file").unwrap_err();
        let told = "the file has a problem; nothing was sent\n  line 1001: more than 1000 secrets cannot";
        assert!(failure.whole_message().starts_with(told), "{}", failure.whole_message());
    }

    #[test]
    fn a_file_of_rubbish_does_not_fill_the_screen() {
        let failure = entries(&vec![("A-B", "x"); 5_000]).finish("the file").unwrap_err();
        assert_eq!(failure.whole_message().lines().count(), 1_002);
        assert!(failure.whole_message().ends_with("\n  and 4000 more"));
    }

    #[test]
    fn nothing_at_all_is_refused() {
        let failure = Entries::default().finish("standard input").unwrap_err();
        assert_eq!(failure.whole_message(), "standard input holds no secrets; nothing was sent");
        assert_eq!(failure.exit_code(), 2);
    }
}
