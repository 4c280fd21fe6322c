"""The ways out: upstream servers, others' documents, repositories, mail. Judged beforehand."""

from safeconduct.egress.addresses import Reach
from safeconduct.egress.dial import Resolve, trusting
from safeconduct.egress.failures import AnswerTooLong, Limits, UpstreamFailed, UpstreamTimeout
from safeconduct.egress.forward_proxy import ForwardProxy, parse_proxy
from safeconduct.egress.git import GitBranch, GitCommit, GitFailed, GitLimits
from safeconduct.egress.http import FetchedDocument, Fetcher, FetchFailed
from safeconduct.egress.mail import Mailer, MailFailed
from safeconduct.egress.reply import Reply
from safeconduct.egress.requests import Fields
from safeconduct.egress.stream import Transport

__all__ = [
    "AnswerTooLong",
    "FetchFailed",
    "FetchedDocument",
    "Fetcher",
    "Fields",
    "ForwardProxy",
    "GitBranch",
    "GitCommit",
    "GitFailed",
    "GitLimits",
    "Limits",
    "MailFailed",
    "Mailer",
    "Reach",
    "Reply",
    "Resolve",
    "Transport",
    "UpstreamFailed",
    "UpstreamTimeout",
    "parse_proxy",
    "trusting",
]
