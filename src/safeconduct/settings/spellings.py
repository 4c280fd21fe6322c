"""The shapes that texts in the configuration file may have, by the names they go by.

Each is judged by a function of `forms`; `word` is what the documentation calls it.
"""

from typing import Annotated

from safeconduct.settings import forms
from safeconduct.settings.marks import Range, Shape

Email = Annotated[str, Shape(form=forms.email, word="email address")]
Name = Annotated[str, Shape(form=forms.name, word="text")]
HostKey = Annotated[str, Shape(form=forms.host_key, word="key")]
ServerKey = Annotated[str, Shape(form=forms.server_key, word="key")]
Network = Annotated[str, Shape(form=forms.network, word="network")]
Bypass = Annotated[str, Shape(form=forms.bypass, word="name, address or network")]
Target = Annotated[str, Shape(form=forms.target, word="host:port")]
Domain = Annotated[str, Shape(form=forms.domain, word="host name")]
Url = Annotated[str, Shape(form=forms.url, word="URL")]
ApiBase = Annotated[str, Shape(form=forms.api_base, word="URL")]
RequestLine = Annotated[str, Shape(form=forms.http_request, word="method and path")]
ToolName = Annotated[str, Shape(form=forms.tool_name, word="name")]
DocumentUrl = Annotated[str, Shape(form=forms.document_url, word="https URL")]
RedirectUri = Annotated[str, Shape(form=forms.redirect_uri, word="URI")]
ClientId = Annotated[str, Shape(form=forms.client_id, word="text")]
PointId = Annotated[str, Shape(form=forms.point_id, word="key")]
ArgumentPath = Annotated[str, Shape(form=forms.argument_path, word="path")]
ObjectOfValue = Annotated[str, Shape(form=forms.object_of_value, word="type:{value}")]
ObjectOfUri = Annotated[str, Shape(form=forms.object_of_uri, word="type:{part}")]
UriTemplate = Annotated[str, Shape(form=forms.uri_template, word="URI template")]
Permission = Annotated[str, Shape(form=forms.permission, word="permission")]
Relation = Annotated[str, Shape(form=forms.relation, word="object#relation@subject")]

Count = Annotated[int, Range(least=1, most=10_000_000)]
Days = Annotated[int, Range(least=1, most=3650)]
