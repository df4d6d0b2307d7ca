{{/* Certificates and tokens: which Secrets they are in. Empty where there are none. */}}

{{- define "rheostat.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- include "rheostat.fullname" . }}-tls
{{- else -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the CA by which clients know the daemon. */}}
{{- define "rheostat.caSecret" -}}
{{- default (include "rheostat.tlsSecret" .) .Values.tls.ca.existingSecret -}}
{{- end -}}

{{/* The Secret with the CA that client certificates must come from. */}}
{{- define "rheostat.clientCASecret" -}}
{{- if .Values.auth.clientCA.sameAsServer -}}
{{- include "rheostat.tlsSecret" . -}}
{{- else -}}
{{- .Values.auth.clientCA.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "rheostat.clientCAKey" -}}
{{- ternary "ca.crt" .Values.auth.clientCA.key .Values.auth.clientCA.sameAsServer -}}
{{- end -}}

{{- define "rheostat.tokensSecret" -}}
{{- if .Values.auth.tokens.lines -}}
{{- include "rheostat.fullname" . }}-tokens
{{- else -}}
{{- .Values.auth.tokens.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "rheostat.tokensKey" -}}
{{- ternary "tokens" .Values.auth.tokens.key (not (empty .Values.auth.tokens.lines)) -}}
{{- end -}}

{{/* The ConfigMap with the file of roles. */}}
{{- define "rheostat.rolesConfigMap" -}}
{{- if .Values.auth.roles.bindings -}}
{{- include "rheostat.fullname" . }}-roles
{{- else -}}
{{- .Values.auth.roles.existingConfigMap -}}
{{- end -}}
{{- end -}}

{{- define "rheostat.rolesKey" -}}
{{- ternary "roles.yaml" .Values.auth.roles.key (not (empty .Values.auth.roles.bindings)) -}}
{{- end -}}

{{/* Says "yes" if callers must prove who they are. */}}
{{- define "rheostat.asks" -}}
{{- if or (include "rheostat.clientCASecret" .) (include "rheostat.tokensSecret" .) .Values.auth.kubernetes.enabled -}}
yes
{{- end -}}
{{- end -}}

{{/* Says "yes" if strangers can neither listen in nor come in. */}}
{{- define "rheostat.secured" -}}
{{- if and (include "rheostat.tlsSecret" .) (include "rheostat.asks" .) -}}
yes
{{- end -}}
{{- end -}}

{{/*
The Secret with the certificate of a client of ours. Takes a dict:
  chart: the root; secret: the one that the values name, if they do.
*/}}
{{- define "rheostat.clientCertificateSecret" -}}
{{- if .secret -}}
{{- .secret -}}
{{- else if .chart.Values.tls.certManager.clientCertificate.enabled -}}
{{- include "rheostat.fullname" .chart }}-client-tls
{{- end -}}
{{- end -}}

{{/* By which the network policy knows the pod of `helm test`. */}}
{{- define "rheostat.testLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end -}}

{{/* Says "yes" if the pod of `helm test` reaches the daemon, and has what it asks clients for. */}}
{{- define "rheostat.tested" -}}
{{- $certificate := include "rheostat.clientCertificateSecret" (dict "chart" . "secret" .Values.tests.certificateSecret) -}}
{{- if and .Values.tests.enabled .Values.exposed -}}
{{- if include "rheostat.clientCASecret" . -}}
{{- with $certificate }}yes{{ end -}}
{{- else if include "rheostat.asks" . -}}
{{- with .Values.tests.tokenSecret.name }}yes{{ end -}}
{{- else -}}
yes
{{- end -}}
{{- end -}}
{{- end -}}
