"""A git repository as the source of a host's rules: the values of `hosts[].policy.git`."""

# Annotations are evaluated here: the reader and the documentation are driven by them.

from typing import Annotated

from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.settings import forms
from safeconduct.settings.marks import About, Range, Shape

GitUrl = Annotated[str, Shape(form=forms.git_url, word="URL")]
GitBranch = Annotated[str, Shape(form=forms.git_branch, word="branch")]
InnerPath = Annotated[str, Shape(form=forms.inner_path, word="path")]


class GitSettings(Value, frozen=True):
    """A git repository with the host's own rules: one branch for each environment."""

    url: Annotated[
        GitUrl,
        About(
            text="`https://…` or `ssh://…`; `file://` and plain http only where"
            " `server.allow_loopback_upstreams` is on. No password and no token in it."
        ),
    ]
    branch: Annotated[GitBranch, About(text="The branch that decides here.")] = "main"
    directory: Annotated[
        InnerPath, About(text="Directory inside the repository that holds the rules.")
    ] = "."
    poll_seconds: Annotated[
        int,
        Range(least=5, most=86_400),
        About(text="How often to look for a new commit.", unit="seconds"),
    ] = 60
    token: Annotated[
        Secret | None, About(text="Access token for https.", default="nobody signs in")
    ] = None
    webhook_secret: Annotated[
        Secret | None,
        About(
            text="Secret of the webhook that calls `/hooks/policy` at the host's origin, as GitHub"
            " signs it; the call only makes us look.",
            default="no webhook",
        ),
    ] = None
