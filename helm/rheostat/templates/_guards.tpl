{{/*
Values that the schema admits one by one but that cannot work together. All of them are told at once.
Everything that ends in a broken or an open daemon belongs here; what merely is odd does not.
*/}}
{{- define "rheostat.guards" -}}
{{- $found := list -}}
{{- range list "rheostat.guardsOfPod" "rheostat.guardsOfAccess" "rheostat.guardsOfStorage" "rheostat.guardsOfMonitoring" -}}
{{- $found = include . $ | splitList "\n" | compact | concat $found -}}
{{- end -}}
{{- if $found -}}
{{- join "\n- " $found | printf "\n\nThese values cannot work:\n- %s\n" | fail -}}
{{- end -}}
{{- end -}}

{{/* Seconds that a pod takes to end: 15 more than its trainers, for what the daemon itself has to close. */}}
{{- define "rheostat.leastGracePeriod" -}}
{{- add (int64 .Values.daemon.drainSeconds) 15 -}}
{{- end -}}

{{- define "rheostat.guardsOfPod" -}}
{{- $least := include "rheostat.leastGracePeriod" . | int64 -}}
{{- with .Values.terminationGracePeriodSeconds }}{{ if lt (int64 .) $least }}
terminationGracePeriodSeconds: {{ int64 . }} is too short: the kubelet would kill trainers that have {{ int64 $.Values.daemon.drainSeconds }} s (daemon.drainSeconds) to stop. Leave it out, or give at least {{ $least }}.
{{- end }}{{ end }}
{{- if gt (int64 .Values.replicas) 1 }}
replicas: {{ int64 .Values.replicas }}: a state directory belongs to one daemon. Install a second release for a second daemon.
{{- end }}
{{- if gt (int64 .Values.distributed.nodes) 1 }}
{{- if and (not .Values.networkPolicy.enabled) (not .Values.insecure) }}
distributed.nodes: {{ int64 .Values.distributed.nodes }} without networkPolicy.enabled: whoever reaches the pods could take part in their runs, as ranks ask nobody who he is. Enable it; or, among friends, insecure: true.
{{- end }}
{{- if and (eq .Values.data.kind "claim") (not (has "ReadOnlyMany" .Values.data.accessModes)) (not (has "ReadWriteMany" .Values.data.accessModes)) }}
distributed.nodes: {{ int64 .Values.distributed.nodes }} with data.kind: claim: pods of several machines cannot mount one of {{ join ", " .Values.data.accessModes }}. Give data.accessModes that has ReadOnlyMany or ReadWriteMany.
{{- end }}
{{- if has (int64 .Values.distributed.port | toString) (list "50051" "9464" "9465") }}
distributed.port: {{ int64 .Values.distributed.port }} is a port of the daemon's.
{{- end }}
{{- end }}
{{- if not (regexMatch "^[a-z]" (include "rheostat.fullname" .)) }}
The name {{ include "rheostat.fullname" . | quote }} begins with a digit, which no Service may: choose another release name, or set fullnameOverride.
{{- end }}
{{- if and .Values.runs .Values.runsConfigMap }}
runs and runsConfigMap: give one of them.
{{- end }}
{{- if not (kindIs "map" .Values.runs) }}
runs: must be a map of specs by name, as in `runs: {digits: {train: {steps: 500}}}`, not a {{ kindOf .Values.runs }}.
{{- else }}{{ range $name, $spec := .Values.runs }}{{ if not (kindIs "map" $spec) }}
runs.{{ $name }}: must be a spec as a map, not a {{ kindOf $spec }}. A file goes into the values as it is, indented below its name.
{{- end }}{{ end }}{{ end }}
{{- if and .Values.gpu.products (dig "nodeAffinity" "" .Values.affinity) }}
gpu.products and affinity.nodeAffinity: the first is made into the second; write the products there yourself.
{{- end }}
{{- if and .Values.gpu.count (hasKey (dig "limits" dict .Values.resources) .Values.gpu.resourceName) }}
gpu.count and resources.limits both give a number of {{ .Values.gpu.resourceName }}: give one of them.
{{- end }}
{{- $taken := include "rheostat.volumeNames" . | fromJsonArray }}
{{- range .Values.extraVolumes }}{{ if has .name $taken }}
extraVolumes: the chart has a volume {{ .name | quote }} already.
{{- end }}{{ end }}
{{- if and .Values.trainingRuns.enabled .Values.serviceAccount.create (not .Values.rbac.create) }}
trainingRuns.enabled without rbac.create: the ServiceAccount made here would have no right to TrainingRuns. Name one that has (serviceAccount.create: false).
{{- end }}
{{- end -}}

{{- define "rheostat.guardsOfAccess" -}}
{{- $tls := include "rheostat.tlsSecret" . -}}
{{- $secured := include "rheostat.secured" . -}}
{{- if and .Values.exposed (not $secured) (not .Values.insecure) }}
exposed without TLS and authentication: whoever reaches the pod could steer its runs. Set tls (existingSecret or certManager) and auth (tokens, clientCA or kubernetes); or, to try it out among friends, insecure: true; or leave exposed: false and use kubectl port-forward.
{{- end }}
{{- if and .Values.exposed (not $secured) .Values.insecure (ne .Values.service.type "ClusterIP") }}
insecure: true with service.type: {{ .Values.service.type }}: nobody should steer runs from outside the cluster without TLS and authentication.
{{- end }}
{{- if and (not .Values.exposed) (ne .Values.service.type "ClusterIP") }}
service.type: {{ .Values.service.type }} without exposed: true: there would be no such service.
{{- end }}
{{- with .Values.tls }}
{{- if and .existingSecret .certManager.enabled }}
tls.existingSecret and tls.certManager.enabled: the certificate comes from one of them.
{{- end }}
{{- if and .certManager.enabled (not .certManager.issuerRef.name) }}
tls.certManager.enabled without issuerRef.name: cert-manager needs to know who issues.
{{- end }}
{{- if and .certManager.clientCertificate.enabled (not .certManager.enabled) }}
tls.certManager.clientCertificate.enabled without tls.certManager.enabled: who would issue it?
{{- end }}
{{- end }}
{{- with .Values.auth }}
{{- if and .clientCA.existingSecret .clientCA.sameAsServer }}
auth.clientCA.existingSecret and auth.clientCA.sameAsServer: give one of them.
{{- end }}
{{- if and (or .clientCA.existingSecret .clientCA.sameAsServer) (not $tls) }}
auth.clientCA without tls: there are no client certificates without TLS.
{{- end }}
{{- if and .roles.existingConfigMap .roles.bindings }}
auth.roles.existingConfigMap and auth.roles.bindings: give one of them.
{{- end }}
{{- if and (or .roles.existingConfigMap .roles.bindings) (not (include "rheostat.asks" $)) }}
auth.roles without auth.tokens, auth.clientCA or auth.kubernetes: anybody could claim any name.
{{- end }}
{{- if and (include "rheostat.clientCASecret" $) (not (or (include "rheostat.tokensSecret" $) (include "rheostat.rolesConfigMap" $) .kubernetes.enabled)) }}
auth.clientCA without auth.roles: client certificates carry no role, so nobody could do anything.
{{- end }}
{{- if and .kubernetes.enabled $.Values.serviceAccount.create (not $.Values.rbac.create) }}
auth.kubernetes.enabled without rbac.create: the ServiceAccount made here could not ask who callers are. Name one that may (serviceAccount.create: false).
{{- end }}
{{- if and .tokens.existingSecret .tokens.lines }}
auth.tokens.existingSecret and auth.tokens.lines: give one of them.
{{- end }}
{{- end }}
{{- end -}}

{{- define "rheostat.guardsOfStorage" -}}
{{- range $name := list "state" "data" }}
{{- with index $.Values $name }}
{{- if and (eq .kind "existingClaim") (not .existingClaim) }}
{{ $name }}.kind: existingClaim without {{ $name }}.existingClaim: which one?
{{- end }}
{{- if and .existingClaim (ne .kind "existingClaim") }}
{{ $name }}.existingClaim: {{ .existingClaim }} with {{ $name }}.kind: {{ .kind }}: it would not be used. Set {{ $name }}.kind: existingClaim.
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.data }}
{{- if and (eq .kind "volume") (ne (len .volume) 1) }}
data.kind: volume takes one source in data.volume, as {nfs: {server: files, path: /sets}}.
{{- end }}
{{- if and .volume (ne .kind "volume") }}
data.volume with data.kind: {{ .kind }}: it would not be used. Set data.kind: volume.
{{- end }}
{{- end }}
{{- end -}}

{{- define "rheostat.guardsOfMonitoring" -}}
{{- $scraped := or .Values.monitoring.serviceMonitor.enabled .Values.monitoring.podMonitor.enabled -}}
{{- if and .Values.monitoring.serviceMonitor.enabled .Values.monitoring.podMonitor.enabled }}
monitoring.serviceMonitor and monitoring.podMonitor: both would scrape every metric twice; enable one of them.
{{- end }}
{{- if and (or $scraped .Values.monitoring.scrapeAnnotations) (not .Values.exposed) }}
monitoring without exposed: true: the metrics are on the pod's loopback, where no Prometheus gets them.
{{- end }}
{{- if $scraped }}{{ with .Values.monitoring }}
{{- $certificate := include "rheostat.clientCertificateSecret" (dict "chart" $ "secret" .certificateSecret) }}
{{- if and (include "rheostat.clientCASecret" $) (not $certificate) }}
auth.clientCA without a certificate for Prometheus: name its Secret in monitoring.certificateSecret, or let cert-manager issue it (tls.certManager.clientCertificate.enabled).
{{- else if and (include "rheostat.tokensSecret" $) (not (include "rheostat.clientCASecret" $)) (not .tokenSecret.name) }}
auth.tokens without a token for Prometheus: name its Secret in monitoring.tokenSecret.
{{- end }}
{{- end }}{{ end }}
{{- end -}}
