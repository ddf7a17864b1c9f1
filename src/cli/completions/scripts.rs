//! The scripts that are printed for the shells: those of the library where they do, and our
//! own where they do not.

use anyhow::Context as _;
use clap::ValueEnum;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::cli::env_vars;
use crate::cli::failure::Failure;

/// Name of the program in the scripts.
const PROGRAM: &str = "aerostack";
/// The library's takes bash's words, which end at `:` and `=`.
const BASH: &str = include_str!("../../../completions/aerostack.bash");
/// The library's runs what stands on the line.
const POWERSHELL: &str = include_str!("../../../completions/aerostack.ps1");
/// How the library's script for zsh ends: good for `source` only.
const ZSH_END: &str = "compdef _clap_dynamic_completer_aerostack aerostack\n";
/// In a file of `$fpath` the first completion runs the whole file as a function.
const ZSH_OWN_END: &str = "\
if [[ ${funcstack[1]} == _aerostack ]]; then
    _clap_dynamic_completer_aerostack \"$@\"
else
    compdef _clap_dynamic_completer_aerostack aerostack
fi
";
/// The words as they were typed, and without their quotes.
const ZSH_WORDS: [&str; 2] = ["\"${words[@]}\"", "\"${(Q)words[@]}\""];

/// A shell with completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash 4.4 or newer
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    PowerShell,
    /// Elvish
    Elvish,
}

impl Shell {
    pub(super) fn library(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
            Self::PowerShell => &Powershell,
            Self::Elvish => &Elvish,
        }
    }

    /// The script.
    ///
    /// # Errors
    /// Never, as long as the library writes text.
    pub fn script(self) -> Result<String, Failure> {
        match self {
            Self::Bash => Ok(BASH.to_owned()),
            Self::PowerShell => Ok(POWERSHELL.to_owned()),
            Self::Zsh => {
                let script = self.of_library()?.replace(ZSH_WORDS[0], ZSH_WORDS[1]);
                Ok(script.replace(ZSH_END, ZSH_OWN_END))
            }
            Self::Fish | Self::Elvish => self.of_library(),
        }
    }

    fn of_library(self) -> Result<String, Failure> {
        let mut script = Vec::new();
        self.library()
            .write_registration(env_vars::COMPLETE, PROGRAM, PROGRAM, PROGRAM, &mut script)
            .context("could not write the script")?;
        Ok(String::from_utf8(script).context("the script is not text")?)
    }
}
