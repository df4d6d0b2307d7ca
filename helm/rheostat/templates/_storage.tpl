{{/* Volumes: where they come from, where they are mounted, and what they are called. */}}

{{/* The source of `state` or `data`. Takes a dict: chart, the root; name, of the section. */}}
{{- define "rheostat.volumeSource" -}}
{{- with index .chart.Values .name -}}
{{- if eq .kind "claim" -}}
persistentVolumeClaim:
  claimName: {{ printf "%s-%s" (include "rheostat.fullname" $.chart) $.name | quote }}
{{- else if eq .kind "existingClaim" -}}
persistentVolumeClaim:
  claimName: {{ .existingClaim | quote }}
{{- else if eq .kind "emptyDir" -}}
emptyDir:
  sizeLimit: {{ .size | quote }}
{{- else -}}
{{- toYaml .volume -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What whoever trains needs, a daemon or an agent. */}}
{{- define "rheostat.workVolumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmp.size | quote }}
{{- if ne .Values.data.kind "none" }}
- name: data
  {{- include "rheostat.volumeSource" (dict "chart" . "name" "data") | nindent 2 }}
{{- end }}
{{- if .Values.shm.enabled }}
- name: shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.shm.size | quote }}
{{- end }}
{{- end -}}

{{- define "rheostat.workMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if ne .Values.data.kind "none" }}
- name: data
  mountPath: /data
  readOnly: {{ .Values.data.readOnly }}
  {{- with .Values.data.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- if .Values.shm.enabled }}
- name: shm
  mountPath: /dev/shm
{{- end }}
{{- end -}}

{{- define "rheostat.volumes" -}}
- name: state
  {{- include "rheostat.volumeSource" (dict "chart" . "name" "state") | nindent 2 }}
{{ include "rheostat.workVolumes" . }}
{{- with include "rheostat.specsConfigMap" . }}
- name: specs
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- with include "rheostat.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . | quote }}
    defaultMode: 288 # 0440
{{- end }}
{{- with include "rheostat.clientCASecret" . }}
- name: client-ca
  secret:
    secretName: {{ . | quote }}
    items:
      - key: {{ include "rheostat.clientCAKey" $ | quote }}
        path: ca.crt
{{- end }}
{{- with include "rheostat.tokensSecret" . }}
- name: tokens
  secret:
    secretName: {{ . | quote }}
    defaultMode: 288 # 0440
    items:
      - key: {{ include "rheostat.tokensKey" $ | quote }}
        path: tokens
{{- end }}
{{- with include "rheostat.rolesConfigMap" . }}
- name: roles
  configMap:
    name: {{ . | quote }}
    items:
      - key: {{ include "rheostat.rolesKey" $ | quote }}
        path: roles.yaml
{{- end }}
{{- end -}}

{{/* Whole folders, never a subPath: a file mounted alone does not follow when its Secret changes. */}}
{{- define "rheostat.volumeMounts" -}}
- name: state
  mountPath: /var/lib/rheostat
{{ include "rheostat.workMounts" . }}
{{- if include "rheostat.specsConfigMap" . }}
- name: specs
  mountPath: /etc/rheostat/specs
  readOnly: true
{{- end }}
{{- if include "rheostat.tlsSecret" . }}
- name: tls
  mountPath: /etc/rheostat/tls
  readOnly: true
{{- end }}
{{- if include "rheostat.clientCASecret" . }}
- name: client-ca
  mountPath: /etc/rheostat/client-ca
  readOnly: true
{{- end }}
{{- if include "rheostat.tokensSecret" . }}
- name: tokens
  mountPath: /etc/rheostat/tokens
  readOnly: true
{{- end }}
{{- if include "rheostat.rolesConfigMap" . }}
- name: roles
  mountPath: /etc/rheostat/roles
  readOnly: true
{{- end }}
{{- end -}}

{{/* The names above, as a JSON list. */}}
{{- define "rheostat.volumeNames" -}}
{{- list "state" "tmp" "data" "shm" "specs" "tls" "client-ca" "tokens" "roles" | toJson -}}
{{- end -}}

{{- define "rheostat.specsConfigMap" -}}
{{- if .Values.runs -}}
{{- include "rheostat.fullname" . }}-runs
{{- else -}}
{{- .Values.runsConfigMap -}}
{{- end -}}
{{- end -}}

{{/* A claim of ours. Takes a dict: chart, the root; name, of the section of the values. */}}
{{- define "rheostat.claim" -}}
{{- $section := index .chart.Values .name -}}
{{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict $section.keep -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "rheostat.metadata" (dict "chart" .chart "suffix" (print "-" .name) "annotations" (merge (dict) $keep $section.annotations)) | nindent 2 }}
spec:
  accessModes:
    {{- toYaml $section.accessModes | nindent 4 }}
  {{- with $section.storageClassName }}
  storageClassName: {{ ternary "" . (eq . "-") | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $section.size | quote }}
{{- end -}}
