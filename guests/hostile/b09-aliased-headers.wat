;; Answers with 64 emits that all point to the same list of 65,000 headers.
;;@frame event
;;@memory
(memory (export "memory") 32)
;;@local
(local $n i32) (local $at i32)
;;@handle
(loop $more
  (local.set $at (i32.add (i32.const 8192) (i32.mul (local.get $n) (i32.const 52))))
  (call $write_emit (local.get $at) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0))
  (i32.store (i32.add (local.get $at) (i32.const 36)) (i32.const 262144))
  (i32.store (i32.add (local.get $at) (i32.const 40)) (i32.const 65000))
  (local.set $n (i32.add (local.get $n) (i32.const 1)))
  (br_if $more (i32.lt_u (local.get $n) (i32.const 64))))
(return (call $emits (i32.const 8192) (i32.const 64)))
