{{- /* The provisioner that revokes signs nothing, whoever has its key. */ -}}
{{- fail "this provisioner signs no certificate" -}}
