{{- /* A peer's certificate: everything from the claims of the one-time token, nothing from the CSR. */ -}}
{{- $serial := .Token.serial -}}
{{- $grant := .Token.grantId -}}
{{- $user := .Token.subjectUserId -}}
{{- if or (not $serial) (not (kindIs "string" $serial)) -}}{{ fail "token has no serial" }}{{- end -}}
{{- if not (regexMatch "^[1-9][0-9]{0,48}$" $serial) -}}{{ fail "token has a malformed serial" }}{{- end -}}
{{- if or (not $grant) (not (kindIs "string" $grant)) -}}{{ fail "token has no grantId" }}{{- end -}}
{{- if not (regexMatch "^[0-9a-f-]{36}$" $grant) -}}{{ fail "token has a malformed grantId" }}{{- end -}}
{{- if or (not $user) (not (kindIs "string" $user)) -}}{{ fail "token has no subjectUserId" }}{{- end -}}
{{- if not (regexMatch "^[A-Za-z0-9._@-]{1,128}$" $user) -}}{{ fail "token has a malformed subjectUserId" }}{{- end -}}
{{- if ne .Token.sub (printf "grant-%s" $grant) -}}{{ fail "token has a subject of another grant" }}{{- end -}}
{
  "serialNumber": {{ toJson $serial }},
  "subject": {"commonName": {{ printf "grant-%s" $grant | toJson }}},
  "sans": [
    {"type": "uri", "value": {{ printf "mosaic://grant/%s" $grant | toJson }}},
    {"type": {{ printf "%s.1" .oidArc | toJson }}, "value": {{ printf "utf8:%s" $grant | toJson }}},
    {"type": {{ printf "%s.2" .oidArc | toJson }}, "value": {{ printf "utf8:%s" $user | toJson }}}
  ],
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"],
  "crlDistributionPoints": {{ toJson .crlUrls }}
}
