//! Where a test lets Cosmos die: between two writes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::StoreError;

/// Asked before every write whether Cosmos still lives.
#[derive(Default)]
pub(crate) struct Fuse(Mutex<Option<Arc<dyn Fn() -> bool + Send + Sync>>>);

impl Fuse {
    pub(crate) fn set(&self, is_alive: impl Fn() -> bool + Send + Sync + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(is_alive));
    }

    /// Fails as a disk does once nobody is there to write.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_alive = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if is_alive.is_none_or(|is_alive| is_alive()) {
            return Ok(());
        }
        Err(StoreError::File {
            path: "fuse".into(),
            source: std::io::Error::other("cosmos died"),
        })
    }
}

impl fmt::Debug for Fuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fuse")
    }
}
