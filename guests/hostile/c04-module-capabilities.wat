;; A module of the RusToK platform that asks for capabilities it was not given, and traps unless each is denied.
;;@frame module
;;@core
(data (i32.const 1024) "platform.dataplatform.httpplatform.eventsgetsubscribe")
(func $denied (param $capability i32) (param $bytes i32) (param $operation i32) (param $operation_bytes i32)
  (call $invoke
    (local.get $capability) (local.get $bytes) (local.get $operation) (local.get $operation_bytes)
    (i32.const 1024) (i32.const 0) (i32.const 3072))
  (if (i32.ne (i32.load8_u (i32.const 3072)) (i32.const 1)) (then unreachable)))
;;@run
(call $denied (i32.const 1024) (i32.const 13) (i32.const 1065) (i32.const 3))
(call $denied (i32.const 1037) (i32.const 13) (i32.const 1065) (i32.const 3))
(call $denied (i32.const 1050) (i32.const 15) (i32.const 1068) (i32.const 9))
(call $denied (i32.const 1024) (i32.const 0) (i32.const 1024) (i32.const 0))
