//! Asking a person before something is done that cannot be undone.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use super::{error::Failure, ui::say};

/// Whether somebody sits there who could answer.
pub(super) fn can_answer() -> bool {
    stdin().is_terminal()
}

/// Asks a question that `y` answers with yes. Whatever else is answered, and that
/// there is nobody to ask, is the refusal.
pub(super) fn confirm(question: &str, refusal: impl FnOnce() -> Failure) -> Result<(), Failure> {
    if !can_answer() {
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
