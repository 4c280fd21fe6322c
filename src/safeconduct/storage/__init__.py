"""Where rows live: transactions, column types, the change feed, and views kept beside it."""

from safeconduct.storage.changes import Change, Epoch, Feed
from safeconduct.storage.columns import UtcTime, host_column, metadata
from safeconduct.storage.copying import copy_sqlite
from safeconduct.storage.database import Database, Read, StorageError, Write
from safeconduct.storage.inquiries import Inquiries, between_workers
from safeconduct.storage.leading import Leading
from safeconduct.storage.lease import LEASE_SECONDS, Lease
from safeconduct.storage.membership import Membership
from safeconduct.storage.migrating import DatabaseIsNewer, DatabaseIsOlder, check_schema, migrate
from safeconduct.storage.tally import Tally, TallyBusy
from safeconduct.storage.unavailable import StoreUnavailable
from safeconduct.storage.views import View

__all__ = [
    "LEASE_SECONDS",
    "Change",
    "Database",
    "DatabaseIsNewer",
    "DatabaseIsOlder",
    "Epoch",
    "Feed",
    "Inquiries",
    "Leading",
    "Lease",
    "Membership",
    "Read",
    "StorageError",
    "StoreUnavailable",
    "Tally",
    "TallyBusy",
    "UtcTime",
    "View",
    "Write",
    "between_workers",
    "check_schema",
    "copy_sqlite",
    "host_column",
    "metadata",
    "migrate",
]
