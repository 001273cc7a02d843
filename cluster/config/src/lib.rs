//! Static configuration of one cluster.
//!
//! This crate opens no socket and no database, resolves no name, renders no template, reads no environment variable and
//! changes no running server: it turns the text of one file into a [`Config`] whose every value has been checked, or
//! into all the [`Problem`]s of the file at once. It never guesses: a key that asks for something that does not exist
//! (authorization, yet another store) refuses the file, and a key that changes nothing is named in a [`Notice`].
//!
//! Layout and key names are those of Temporal's static configuration, so that its operators find everything where they
//! know it. As there, a key without a value (`certFile:`) is the same as no key, and keys are case-sensitive.
//!
//! Reading has two phases. `yaml` says what the file says: a tree, with no opinion. One module for each part of the
//! file then says what that means, taking typed values out of the tree through a `section::Section`, which knows the
//! path of every key and which keys nobody asked for. So every wrong value is reported, and not only the first one that
//! a deserializer would stop at.

mod address;
mod duration;
mod report;
mod section;
mod yaml;

mod backlog;
mod cluster;
mod database;
mod dynamic;
mod frontend;
mod global;
mod host;
mod log;
mod persistence;
mod redirection;
mod service;
mod tls;

mod config;
mod file;

pub use crate::{
    backlog::ReplicationBacklog,
    cluster::Cluster,
    config::{Config, parse},
    database::{Database, DatabaseTls},
    dynamic::{Change, Dynamic, DynamicFile, Setting},
    file::{LoadError, MAX_FILE_BYTES, load},
    frontend::Frontend,
    host::Host,
    log::{Format, Level, Log},
    persistence::{Location, MAX_HISTORY_SHARDS, Persistence},
    redirection::Redirection,
    report::{Notice, Problem},
    service::{Service, Services},
    tls::{Internode, Pem, PemSource, Tls, TlsChecks, TlsClient, TlsIdentity, TlsServer},
};
