//! The founding behaviours: what Cosmos did first, and does to the letter for
//! ever. At least one test a row of the table, against the whole program.

mod api;
mod bootstrap;
mod cleanup;
mod failure;
mod start;
mod stop;
mod terminal;
