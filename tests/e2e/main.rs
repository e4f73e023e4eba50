//! End to end: the built binary at work in a folder with the shipped configuration. Whatever it leaves behind is held
//! against an oracle that shares no code with it.

mod checker;
mod corpus;
mod oracle;
mod support;

mod alerts;
mod arriving;
mod bulk;
mod canaries;
mod configuration;
mod crawls;
mod demo;
mod full;
mod giving_up;
mod large;
mod printing;
mod processes;
mod replaying;
mod stalls;
mod storage;
mod trouble;
mod two_jobs;
