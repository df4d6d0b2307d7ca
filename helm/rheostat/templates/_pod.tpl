{{/* Parts of the pod that take more than a line. */}}

{{- define "rheostat.arguments" -}}
{{- $host := ternary "0.0.0.0" "127.0.0.1" .Values.exposed -}}
- serve
- --address={{ $host }}:50051
- --metrics-address={{ $host }}:9464
- --health-address=0.0.0.0:9465
{{- if .Values.page.enabled }}
- --page-address={{ $host }}:9466
{{- end }}
- --max-concurrent-runs={{ int64 .Values.daemon.maxConcurrentRuns }}
- --drain-seconds={{ int64 .Values.daemon.drainSeconds }}
- --log-format={{ .Values.daemon.logFormat }}
- --log-level={{ .Values.daemon.logLevel }}
{{- if include "rheostat.specsConfigMap" . }}
- --specs=/etc/rheostat/specs
{{- end }}
{{- if include "rheostat.tlsSecret" . }}
- --tls-cert=/etc/rheostat/tls/tls.crt
- --tls-key=/etc/rheostat/tls/tls.key
{{- end }}
{{- if include "rheostat.clientCASecret" . }}
- --tls-client-ca=/etc/rheostat/client-ca/ca.crt
{{- end }}
{{- if include "rheostat.tokensSecret" . }}
- --tokens=/etc/rheostat/tokens/tokens
{{- end }}
{{- if include "rheostat.rolesConfigMap" . }}
- --roles=/etc/rheostat/roles/roles.yaml
{{- end }}
{{- if .Values.auth.kubernetes.enabled }}
- --kube-auth
- --kube-audience={{ .Values.auth.kubernetes.audience }}
{{- end }}
{{- range .Values.daemon.allowImports }}
- --allow-import={{ . }}
{{- end }}
{{- if ne .Values.data.kind "none" }}
- --data-root=/data
{{- end }}
{{- if and .Values.exposed (not (include "rheostat.secured" .)) }}
- --insecure
{{- end }}
{{- if .Values.trainingRuns.enabled }}
- --kubernetes
{{- end }}
{{- if gt (int64 .Values.distributed.nodes) 1 }}
- --rendezvous={{ include "rheostat.rendezvous" . }}
{{- end }}
{{- with .Values.daemon.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Where a pod runs, as whom, and what is done before. Takes a dict: chart, the root; component, what the pod is.
*/}}
{{- define "rheostat.place" -}}
{{- with .chart -}}
{{- with include "rheostat.imagePullSecrets" . }}
{{- . }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "rheostat.tolerations" . }}
{{ . }}
{{- end }}
{{- with include "rheostat.affinity" . }}
{{ . }}
{{- end }}
{{- with include "rheostat.topologySpread" $ }}
{{ . }}
{{- end }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where agents join runs: the name of the daemon's pod is stable. */}}
{{- define "rheostat.rendezvous" -}}
{{- $name := include "rheostat.fullname" . -}}
{{- printf "%s-0.%s-headless.%s.svc:%d" $name $name .Release.Namespace (int64 .Values.distributed.port) -}}
{{- end -}}

{{/* The pods that train a run together, as peers of a NetworkPolicy. */}}
{{- define "rheostat.ranks" -}}
- podSelector:
    matchLabels:
      {{- include "rheostat.selectorLabels" . | nindent 6 }}
- podSelector:
    matchLabels:
      {{- include "rheostat.agentLabels" . | nindent 6 }}
{{- end -}}

{{- define "rheostat.agentLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: agent
{{- end -}}

{{- define "rheostat.probe" -}}
httpGet:
  path: {{ .path }}
  port: health
{{ toYaml .timing }}
{{- end -}}

{{/* GPUs are never overcommitted: their request is their limit. */}}
{{- define "rheostat.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.count -}}
{{- $gpus := dict .Values.gpu.resourceName (toString .Values.gpu.count) -}}
{{- $resources = merge $resources (dict "limits" $gpus "requests" $gpus) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "rheostat.tolerations" -}}
{{- $all := .Values.tolerations -}}
{{- if and .Values.gpu.count .Values.gpu.tolerate -}}
{{- $all = append $all (dict "key" .Values.gpu.resourceName "operator" "Exists" "effect" "NoSchedule") -}}
{{- end -}}
{{- with uniq $all -}}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "rheostat.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- with .Values.gpu.products -}}
{{- $models := dict "key" "nvidia.com/gpu.product" "operator" "In" "values" . -}}
{{- $terms := list (dict "matchExpressions" (list $models)) -}}
{{- $required := dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- $_ := set $affinity "nodeAffinity" $required -}}
{{- end -}}
{{- with $affinity -}}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* One daemon alone has nothing to be spread from, so the daemons of all releases count. Takes what `place` does. */}}
{{- define "rheostat.topologySpread" -}}
{{- $all := list -}}
{{- range .chart.Values.topologySpreadConstraints -}}
{{- $constraint := deepCopy . -}}
{{- if not (hasKey . "labelSelector") -}}
{{- $labels := dict "app.kubernetes.io/name" $.chart.Chart.Name "app.kubernetes.io/component" $.component -}}
{{- $_ := set $constraint "labelSelector" (dict "matchLabels" $labels) -}}
{{- end -}}
{{- $all = append $all $constraint -}}
{{- end -}}
{{- with $all -}}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}
