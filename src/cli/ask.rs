//! Asking a person before something is done that cannot be undone.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use super::{error::Failure, ui::say};

/// Asks a question that `y` answers with yes. Whatever else is answered, and that
/// there is nobody to ask, is the refusal.
pub(super) fn confirm(question: &str, refusal: impl FnOnce() -> Failure) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        return Err(refusal());
    }
    say!("{question} [y/N] ");
    stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refusal()),
    }
}
