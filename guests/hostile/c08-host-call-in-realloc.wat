;; Calls the host while the host is passing it the event.
;;@frame event
;;@import
(core module $door
  (type $log (func (param i32 i32 i32)))
  (table (export "table") 1 funcref)
  (func (export "log") (param i32 i32 i32)
    (call_indirect (type $log) (local.get 0) (local.get 1) (local.get 2) (i32.const 0))))
(core instance $door (instantiate $door))
(alias core export $door "log" (core func $log-later))
(alias core export $door "table" (core table $door-table))
;;@use imports/log
;;@memory-import
(import "door" "log" (func $log (param i32 i32 i32)))
;;@memory-with
(with "door" (instance (export "log" (func $log-later))))
;;@realloc
(call $log (i32.const 2) (i32.const 1024) (i32.const 4))
;;@wire
(core module $open
  (import "door" "table" (table 1 funcref))
  (import "door" "write" (func $write (param i32 i32 i32)))
  (elem (i32.const 0) func $write))
(core instance (instantiate $open (with "door" (instance
  (export "table" (table $door-table)) (export "write" (func $log-lowered))))))
