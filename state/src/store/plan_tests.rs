//! Goal: pending work is found by partial indexes. Whoever changes a query or an index sees it here before an operator
//! with ten million journaled notifications does.
