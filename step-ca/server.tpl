{{- /* The gateway's own server certificate: names from the one-time token, nothing else from anyone. */ -}}
{{- if not .Token.sans -}}{{ fail "token has no sans" }}{{- end -}}
{
  "subject": {"commonName": {{ toJson .Token.sub }}},
  "sans": {{ toJson .SANs }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["serverAuth"],
  "crlDistributionPoints": {{ toJson .crlUrls }}
}
