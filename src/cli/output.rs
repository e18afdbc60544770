//! What a person or a script reads: data on stdout, talk on stderr, and why a command did not succeed.

use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use super::variable;

/// Prints data. A reader that went away (`| head`) is not an error.
pub(super) fn data(text: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("stdout can't be written").because(&error))
        }
        _ => Ok(()),
    }
}

/// Says something to whoever watches; nobody listening is fine.
pub(super) fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether talk may be in colour.
pub(super) fn talk_in_colour() -> bool {
    io::stderr().is_terminal() && variable("NO_COLOR").is_none()
}

/// Whether data may be in colour.
pub(super) fn data_in_colour() -> bool {
    io::stdout().is_terminal() && variable("NO_COLOR").is_none()
}

/// Why a command did not succeed. Its texts hold no secret: they come from errors that can't.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
    hints: Vec<String>,
}

impl Failure {
    /// The command line or the configuration is wrong: exit code 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// It was tried and did not succeed: exit code 1.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Adds an error and what caused it.
    pub(super) fn because(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat their source's text.
            if !self.message.ends_with(&text) {
                self.message = format!("{}: {text}", self.message);
            }
            next = error.source();
        }
        self
    }

    /// Adds what can be done about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says it on stderr and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        let (red, cyan, plain) = if talk_in_colour() {
            ("\x1b[1;31m", "\x1b[36m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        say(format_args!("{red}error{plain}: {}", self.message));
        for hint in &self.hints {
            say(format_args!("{cyan}hint{plain}: {hint}"));
        }
        ExitCode::from(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_without_repetition() {
        let cause = io::Error::other("no route to host");
        let failure = Failure::failed("can't listen")
            .because(&cause)
            .because(&cause);
        assert_eq!(failure.message, "can't listen: no route to host");
        assert_eq!(failure.code, 1);
        assert_eq!(Failure::usage("").code, 2);
    }
}
