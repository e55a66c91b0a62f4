;; $log: level, text, bytes.
;;@import
(import "guesthouse:handler/log@0.1.0" (instance $log
  (type $named (enum "trace" "debug" "info" "warn" "error"))
  (export "level" (type $level (eq $named)))
  (export "write" (func (param "level" $level) (param "message" string)))))
;;@lower
(core func $log-lowered (canon lower (func $log "write") (memory $mem)))
;;@core-import
(import "log" "write" (func $log (param i32 i32 i32)))
;;@core-with
(with "log" (instance (export "write" (func $log-lowered))))
