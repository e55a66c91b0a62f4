;; Emits 1,000 events that are each fine.
;;@frame event
;;@core
(data (i32.const 1024) "order.shipped{}")
;;@memory
(memory (export "memory") 4)
;;@local
(local $n i32)
;;@handle
(loop $more
  (call $write_emit
    (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 52)))
    (i32.const 1024) (i32.const 13) (i32.const 1037) (i32.const 2))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $more (i32.lt_u (local.get $n) (i32.const 1000))))
(return (call $emits (i32.const 131072) (i32.const 1000)))
