//! What handlers share when they speak HTTP: how they read a request, and how they write an answer.

pub(crate) mod answers;
pub(crate) mod body;
pub(crate) mod input;
pub(crate) mod limits;
