//! To come in the next commits of this change.
