//! A list or count on its way through a database: the statement that asks, and the page that its rows make.

use bytes::Bytes;
use replicator::ids::NamespaceId;

use super::{
    Count, Page, VisibilityError,
    filter::{self, Query},
    page_size, token,
};
use crate::{
    select::{self, Dialect, Statement},
    table::{Column as _, Columns, Malformed, visibility::Row},
};

/// A list.
#[derive(Debug)]
pub(crate) struct Listing {
    query: Query,
    size: usize,
}

impl Listing {
    /// Understand what is asked for.
    pub(crate) fn parse(
        dialect: &'static Dialect,
        namespace: NamespaceId,
        query: &str,
        size: usize,
        token: &[u8],
    ) -> Result<(Self, Statement), VisibilityError> {
        let query = filter::parse(query).map_err(VisibilityError::InvalidArgument)?;
        let size = page_size(size);
        let after = token::decode(token, &query).map_err(VisibilityError::InvalidArgument)?;
        let statement = select::list(dialect, namespace, &query, size, after.as_ref());
        Ok((Self { query, size }, statement.map_err(VisibilityError::InvalidArgument)?))
    }

    /// The page that these rows make. One more was read, to know whether there is one.
    pub(crate) fn page(&self, mut rows: Vec<Row>) -> Page {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        let records: Vec<_> = rows.into_iter().map(|row| *row.0).collect();
        let next = match records.last() {
            Some(last) if more => token::encode(last, &self.query),
            _ => Bytes::new(),
        };
        Page { records, next }
    }
}

/// A count.
#[derive(Debug)]
pub(crate) struct Counting {
    in_groups: bool,
}

impl Counting {
    /// Understand what is asked for.
    pub(crate) fn parse(
        dialect: &'static Dialect,
        namespace: NamespaceId,
        query: &str,
    ) -> Result<(Self, Statement), VisibilityError> {
        let query = filter::parse(query).map_err(VisibilityError::InvalidArgument)?;
        let statement = select::count(dialect, namespace, &query).map_err(VisibilityError::InvalidArgument)?;
        Ok((Self { in_groups: query.group_by.is_some() }, statement))
    }

    /// Read a row: `status, count`.
    pub(crate) fn read(row: &impl Columns) -> Result<(i32, i64), Malformed> {
        Ok((i32::required(row, 0)?, i64::required(row, 1)?))
    }

    /// The count that these rows make.
    pub(crate) fn count(&self, rows: Vec<(i32, i64)>) -> Count {
        let total = rows.iter().map(|(_, count)| count).sum();
        Count { total, groups: self.in_groups.then_some(rows) }
    }
}
