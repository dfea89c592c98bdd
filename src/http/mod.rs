//! What handlers share when they speak HTTP: how they read a request, how they write an answer, and how much one client may ask.

pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod input;
pub(crate) mod limits;
