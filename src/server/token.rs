//! The token: 256 bits from the OS, made at the first start, 0600 in the state.

use std::{fs, io, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use crate::{traffic::Token, workspace::fingerprint::hex};

/// The token's file in the state's folder.
const FILE: &str = "token";

/// Reads the token, or makes one.
pub(super) fn keep(folder: &Path) -> io::Result<Token> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Token::new(text.trim()).ok_or_else(|| io::Error::other("the file is empty")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    }
}

/// Makes another in its place.
pub(super) fn rotate(folder: &Path) -> io::Result<Token> {
    make(&folder.join(FILE))
}

/// Written beside its place and renamed, so that nobody ever reads half of it.
fn make(path: &Path) -> io::Result<Token> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let text = hex(&secret);
    let beside = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    Token::new(text).ok_or_else(|| io::Error::other("the token is empty"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_token_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        keep(folder.path()).unwrap();
        let first = fs::read_to_string(folder.path().join(FILE)).unwrap();
        keep(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(FILE)).unwrap(), first);
        assert_eq!(first.len(), 64);
        let mode = fs::metadata(folder.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
