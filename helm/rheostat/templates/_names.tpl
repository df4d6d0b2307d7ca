{{/* What the objects are called, and the metadata that all of them carry. */}}

{{- define "rheostat.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: Kubernetes labels the pods of a StatefulSet with its name and eleven more. */}}
{{- define "rheostat.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "rheostat.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rheostat.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rheostat.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rheostat.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The name of the gRPC service as other namespaces see it, and as certificates have it. */}}
{{- define "rheostat.host" -}}
{{- printf "%s.%s.svc" (include "rheostat.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "rheostat.image" -}}
{{- with .Values.image -}}
{{- $registry := default .registry $.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{ .repository }}
{{- if or .tag (not .digest) }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- with .digest }}@{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{- define "rheostat.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* By the first label the command line finds the daemons of a cluster, so no value changes it. */}}
{{- define "rheostat.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: daemon
{{- end -}}

{{/*
The metadata of an object, without its key. Takes a dict:
  chart: the root; suffix: of the name; component: what the object serves, by default the daemon;
  labels, annotations: more of them, which give way to the chart's own labels.
*/}}
{{- define "rheostat.metadata" -}}
{{- $own := dict
      "helm.sh/chart" (printf "%s-%s" .chart.Chart.Name .chart.Chart.Version | replace "+" "_" | trunc 63)
      "app.kubernetes.io/name" .chart.Chart.Name
      "app.kubernetes.io/instance" .chart.Release.Name
      "app.kubernetes.io/version" (.chart.Chart.AppVersion | replace "+" "_" | trunc 63)
      "app.kubernetes.io/managed-by" .chart.Release.Service
      "app.kubernetes.io/component" (default "daemon" .component) -}}
name: {{ print (include "rheostat.fullname" .chart) (default "" .suffix) | quote }}
namespace: {{ default .chart.Release.Namespace .namespace | quote }}
labels:
  {{- merge $own (default dict .labels) .chart.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (default dict .annotations) .chart.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
