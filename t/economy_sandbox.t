#!/usr/bin/perl
# economy-sandbox: every call and what it refuses, one charge whatever comes at once, the books that always add up, and each fault
# with what it leaves behind. A sandbox that is wrong would let the service's own tests pass for nothing.
use Test2::V0;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Battlepass::Stack;

# Its faults would hit other tests, so this one has a stack of its own.
my $s = Battlepass::Stack->new;
my $program = $s->env->{BATTLEPASSCTL} =~ s/battlepassctl$/economy-sandbox/r;
my $json = JSON::PP->new->utf8->canonical;
my $gems = 100_000; # of a player that was not seen before
my $keys = 0;

sub key { return sprintf 'key-%d-%d', $$, ++$keys }

sub debit_body {
    my ($player, %more) = @_;
    return { player => $player, currency => 'gems', amount => 950, reference => 'premium', %more };
}

sub debit {
    my ($player, $key, %more) = @_;
    return $s->economy(POST => '/v1/debits', debit_body($player, %more), { 'Idempotency-Key' => $key });
}

sub deliver {
    my ($player, $key, %more) = @_;
    my $body = { player => $player, kind => 'currency', item => 'coins', quantity => 50, reference => 't1', %more };
    return $s->economy(POST => '/v1/deliveries', $body, { 'Idempotency-Key' => $key });
}

sub lookup { return $s->economy(GET => "/v1/debits/$_[0]") }
sub cancel { return $s->economy(POST => "/v1/debits/$_[0]/cancel") }
sub refund { return $s->economy(POST => "/v1/debits/$_[0]/refund") }
sub player { return $s->economy(GET => "/sandbox/players/$_[0]")->{json} }
sub totals { return $s->economy(GET => '/sandbox/totals')->{json} }

# Status and body of an answer.
sub answers {
    my ($answer, $status, $body, $name) = @_;
    is([ $answer->{status}, $answer->{json} ], [ $status, $body ], $name);
    return;
}

# Charges, refunds and gems of a player.
sub books {
    my ($player, $charges, $refunds, $left, $name) = @_;
    my $found = player($player);
    is([ @$found{qw(charges refunds)}, $found->{wallets}{gems} ], [ $charges, $refunds, $left ], $name);
    return;
}

# --- calls ---

subtest 'debits' => sub {
    my ($p, $k) = ($s->fresh_player, key());
    my $first = debit($p, $k);
    my %paid = (key => $k, player => $p, currency => 'gems', amount => 950, state => 'executed');
    answers($first, 201, { %paid, transaction => match(qr/^[0-9a-f-]{36}$/) }, 'charged');
    my $again = debit($p, $k);
    answers($again, 200, $first->{json}, 'a replay gives the same answer');
    answers(debit($p, $k, amount => 951), 409, { code => 'key_reused' }, 'another amount');
    answers(debit($p, $k, currency => 'coins'), 409, { code => 'key_reused' }, 'another currency');
    answers(debit($p, $k, reference => 'other'), 409, { code => 'key_reused' }, 'another reference');
    answers(debit($s->fresh_player, $k), 409, { code => 'key_reused' }, 'another player');
    answers(lookup($k), 200, \%paid, 'it can be looked up');
    answers(lookup(key()), 404, { code => 'not_found' }, 'a key that was never seen cannot');
    books($p, 1, 0, $gems - 950, 'one charge');

    my $poor = key();
    answers(debit($p, $poor, amount => $gems - 949), 402, { code => 'declined' }, 'one gem too little');
    answers(debit($p, $poor, amount => $gems - 949), 402, { code => 'declined' }, 'and again');
    $s->economy(PUT => "/sandbox/wallets/$p", { currency => 'gems', balance => 10 * $gems });
    answers(debit($p, $poor, amount => $gems - 949), 402, { code => 'declined' }, 'a declined key stays declined');
    is(lookup($poor)->{json}{state}, 'declined', 'and says so');
    books($p, 1, 0, 10 * $gems, 'nothing was charged for it');
    answers(debit($p, key(), amount => 10 * $gems), 201, hash { field amount => 10 * $gems; etc }, 'to the last gem');
    answers(debit($p, key(), amount => 1), 402, { code => 'declined' }, 'and nothing is left');
    answers(debit($p, key(), currency => 'rubies', amount => 1), 402, { code => 'declined' }, 'a currency nobody has');
};

subtest 'cancel and refund' => sub {
    my ($p, $paid, $early, $declined) = ($s->fresh_player, key(), key(), key());
    debit($p, $paid);
    answers(cancel($paid), 409, { key => $paid, state => 'executed' }, 'what is executed cannot be cancelled');
    answers(cancel($early), 200, { key => $early, state => 'voided' }, 'a key that never came is voided');
    answers(cancel($early), 200, { key => $early, state => 'voided' }, 'twice is the same');
    answers(debit($p, $early), 409, { code => 'voided' }, 'the debit that comes late is refused');
    answers(lookup($early), 200, { key => $early, state => 'voided' }, 'and looked up it is voided');
    answers(refund($early), 404, { code => 'not_found' }, 'nothing to refund');
    answers(refund(key()), 404, { code => 'not_found' }, 'nor for a key that never came');
    debit($p, $declined, amount => 10 * $gems);
    answers(refund($declined), 404, { code => 'not_found' }, 'nor for a declined one');
    answers(cancel($declined), 200, { key => $declined, state => 'voided' }, 'which can be voided');
    books($p, 1, 0, $gems - 950, 'one charge so far');

    answers(refund($paid), 200, { key => $paid, state => 'refunded' }, 'refunded');
    answers(refund($paid), 200, { key => $paid, state => 'refunded' }, 'twice is the same');
    answers(cancel($paid), 409, { key => $paid, state => 'refunded' }, 'and not cancelled any more');
    answers(debit($p, $paid), 409, { code => 'refunded' }, 'its debit is not made again');
    is(lookup($paid)->{json}{state}, 'refunded', 'looked up');
    books($p, 1, 1, $gems, 'the money is back, once');
};

subtest 'deliveries' => sub {
    my ($p, $coins, $skin) = ($s->fresh_player, key(), key());
    my %coins = (key => $coins, player => $p, kind => 'currency', item => 'coins', quantity => 50);
    answers(deliver($p, $coins), 201, \%coins, 'delivered');
    answers(deliver($p, $coins), 200, \%coins, 'a replay');
    answers(deliver($p, $coins, quantity => 51), 409, { code => 'key_reused' }, 'another quantity');
    answers(deliver($p, $skin, kind => 'skin', item => 'wolf', quantity => 1), 201, hash { field item => 'wolf'; etc }, 'an item');
    my $found = player($p);
    is($found->{wallets}, { coins => 50, gems => $gems }, 'currency is in the wallet, once');
    is([ map { [ @$_{qw(key kind item quantity times_sent)} ] } @{ $found->{deliveries} } ],
        [ [ $coins, 'currency', 'coins', 50, 3 ], [ $skin, 'skin', 'wolf', 1, 1 ] ], 'each stands once, with how often it was sent');
    answers(debit($p, key(), currency => 'coins', amount => 50), 201, hash { etc }, 'it can be spent');
    answers(debit($p, key(), currency => 'coins', amount => 1), 402, { code => 'declined' }, 'but not more');
};

subtest 'bad requests' => sub {
    my $p = $s->fresh_player;
    my %key = ('Idempotency-Key' => key());
    my $good = debit_body($p);
    my @cases = (
        ['no key', {}, $good, 400],
        ['empty key', { 'Idempotency-Key' => '' }, $good, 400],
        ['key with a space', { 'Idempotency-Key' => 'a b' }, $good, 400],
        ['key of 129', { 'Idempotency-Key' => 'k' x 129 }, $good, 400],
        ['not JSON by name', { %key, 'Content-Type' => 'text/plain' }, $good, 415],
        ['not JSON', \%key, '{"player":', 400],
        ['no object', \%key, '[]', 400],
        ['text behind it', \%key, $json->encode($good) . 'x', 400],
        ['a member twice', \%key, '{"amount":1,' . substr($json->encode($good), 1), 400],
        ['unknown member', \%key, { %$good, price => 1 }, 400],
        (map { my $name = $_; ["no $name", \%key, { map { $_ => $good->{$_} } grep { $_ ne $name } keys %$good }, 400] } sort keys %$good),
        (map { ["amount $_", \%key, $json->encode($good) =~ s/"amount":950/"amount":$_/r, 400] }
            qw(0 -1 0.5 1e13 "950" null true [1])),
        ['player with a slash', \%key, { %$good, player => 'a/b' }, 400],
        ['player of 65', \%key, { %$good, player => 'p' x 65 }, 400],
        ['reference of 256', \%key, { %$good, reference => 'r' x 256 }, 400],
        ['64 KiB and more', \%key, { %$good, reference => 'r' x 70_000 }, 413],
    );
    for my $case (@cases) {
        my ($name, $headers, $body, $status) = @$case;
        my $answer = $s->economy(POST => '/v1/debits', $body, $headers);
        is([ $answer->{status}, !!$answer->{json}{code} ], [ $status, T() ], $name);
    }
    is([ player($p)->{charges}, player($p)->{debits} ], [ 0, [] ], 'nothing came of them');
    is($s->economy(POST => '/v1/deliveries', { player => $p, kind => 'x', item => '', quantity => 1, reference => '' }, \%key)->{status},
        400, 'a delivery of nothing');
    my $answer = $s->economy(GET => '/v1/debits');
    is([ $answer->{status}, $answer->{headers}{allow} ], [ 405, 'POST' ], 'method');
    is($s->economy(GET => $_)->{status}, 404, $_) for '/', '/v1', '/v1/debits/', '/v1/debits/a%20b', '/v1/debits/k/l', '/sandbox/players/';
    is($s->economy(GET => '/healthz')->{json}, { status => 'ok' }, 'it is well');
};

# --- many at once ---

subtest '32 copies at once' => sub {
    my @players = map { $s->fresh_player } 1 .. 3;
    my ($k, $d, $r, $race) = map { key() } 1 .. 4;
    my @answers = $s->in_parallel(32, sub { my $a = debit($players[0], $k); return [ $a->{status}, $a->{json}{transaction} ] });
    is([ sort map { $_->[0] } @answers ], [ (200) x 31, 201 ], 'debit: one is the first');
    is(scalar(keys %{ { map { $_->[1] => 1 } @answers } }), 1, 'one transaction');
    books($players[0], 1, 0, $gems - 950, 'one charge');

    my @sent = $s->in_parallel(32, sub { return deliver($players[1], $d)->{status} });
    is([ sort @sent ], [ (200) x 31, 201 ], 'delivery: one is the first');
    is([ @{ player($players[1])->{deliveries}[0] }{qw(quantity times_sent)} ], [ 50, 32 ], 'all are counted');
    is(player($players[1])->{wallets}{coins}, 50, 'delivered once');

    debit($players[1], $r);
    is([ $s->in_parallel(32, sub { return refund($r)->{status} }) ], [ (200) x 32 ], 'refund: all the same');
    books($players[1], 1, 1, $gems, 'refunded once');

    my @mixed = $s->in_parallel(32, sub { return $_[0] % 2 ? cancel($race)->{json}{state} : debit($players[2], $race)->{status} });
    my $state = lookup($race)->{json}{state};
    books($players[2], $state eq 'executed' ? (1, 0, $gems - 950) : (0, 0, $gems), "debit against cancel: $state, and charged like that");
    is([ grep { !/^\d+$/ && $_ ne $state } @mixed ], [], 'every cancel said how it ended');
    is([ grep { /^\d+$/ && ($state eq 'executed' ? !/^20[01]$/ : $_ != 409) } @mixed ], [], 'and every debit');

    my @rush = map { key() } 1 .. 32;
    my $spender = $s->fresh_player;
    my @spent = $s->in_parallel(32, sub { return debit($spender, $rush[$_[0]], amount => 9_000)->{status} });
    is([ sort @spent ], [ (201) x 11, (402) x 21 ], '32 debits for a wallet that pays 11');
    books($spender, 11, 0, $gems - 99_000, 'charged 11 times, never below nothing');
};

# --- faults ---

# One request on a connection of its own: all that came back until the peer closed, and how long it took.
sub raw_debit {
    my ($player, $key, $patience_s) = @_;
    my ($port) = $s->economy_url =~ /:(\d+)$/;
    my $body = $json->encode(debit_body($player));
    my $started = time;
    my $text = $s->raw("POST /v1/debits HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            . "Idempotency-Key: $key\r\nContent-Length: " . length($body) . "\r\n\r\n$body",
        base => $s->economy_url, quiet_s => $patience_s // 5);
    return ($text, time - $started);
}

# A fault strikes the next debit of a fresh player: the raw answer, then whether it was charged.
sub struck {
    my ($fault, %options) = @_;
    my $name = $fault->{fault};
    my ($p, $k) = ($s->fresh_player, key());
    $s->faults({ calls => 'debits', times => 1, %$fault });
    my ($text, $seconds) = raw_debit($p, $k);
    my $list = $s->economy(GET => '/sandbox/faults')->{json}{faults};
    is([ map { [ @$_{qw(fault struck times)} ] } @$list ], [ [ $name, 1, 0 ] ], "$name: it struck once");
    is(player($p)->{charges}, $options{charged}, "$name: " . ($options{charged} ? 'charged' : 'not charged'));
    my $again = debit($p, $k);
    is($again->{status}, $options{again} // ($options{charged} ? 200 : 201), "$name: asked again");
    is(player($p)->{charges}, $options{again} && $options{again} != 201 ? 0 : 1, "$name: and charged once at most");
    $s->clear_faults;
    return ($text, $seconds, $k, $again);
}

subtest 'late' => sub {
    my ($text, $seconds) = struck({ fault => 'late', delay_ms => 600 }, charged => 1);
    like($text, qr{^HTTP/1.1 201 .*"amount":950}s, 'the true answer');
    ok($seconds >= 0.6 && $seconds < 3, "after its delay: $seconds s");
    ($text, $seconds) = struck({ fault => 'late_charge', delay_ms => 600 }, charged => 1);
    ok($text =~ m{^HTTP/1.1 201 } && $seconds >= 0.6, 'late_charge, to a caller with patience');

    my ($p, $k) = ($s->fresh_player, key());
    $s->faults({ fault => 'late_charge', calls => 'debits', delay_ms => 700 });
    ($text) = raw_debit($p, $k, 0.2);
    is($text, '', 'a caller without patience has gone');
    is(player($p)->{charges}, 0, 'and nothing is charged yet');
    ok($s->wait_until(5, sub { player($p)->{charges} == 1 }), 'but it will be all the same');
    $s->clear_faults;
};

subtest 'errors' => sub {
    like((struck({ fault => 'error_500' }, charged => 0))[0], qr{^HTTP/1.1 500 .*internal}s, 'error_500');
    like((struck({ fault => 'error_500_executed' }, charged => 1))[0], qr{^HTTP/1.1 500 .*internal}s, 'error_500_executed');
    like((struck({ fault => 'unavailable_503' }, charged => 0))[0], qr{^HTTP/1.1 503 .*Retry-After: 1\r}s, 'unavailable_503');
    like((struck({ fault => 'too_many_429' }, charged => 0))[0], qr{^HTTP/1.1 429 .*Retry-After: 1\r}s, 'too_many_429');
    like((struck({ fault => 'redirect' }, charged => 0))[0], qr{^HTTP/1.1 302 .*Location: /v1/elsewhere\r}s, 'redirect');
    like((struck({ fault => 'refuse' }, charged => 0, again => 402))[0], qr{^HTTP/1.1 402 .*"declined"}s, 'refuse');
};

subtest 'connections' => sub {
    is((struck({ fault => 'drop' }, charged => 1))[0], '', 'drop: no answer');
    is((struck({ fault => 'drop_before' }, charged => 0))[0], '', 'drop_before: no answer');
    my ($text) = struck({ fault => 'cut' }, charged => 1);
    my ($length, $body) = $text =~ /Content-Length: (\d+)\b.*?\r\n\r\n(.*)/s;
    ok(length $body && length $body < $length, "cut: $length bytes are promised, " . length($body) . ' come');
};

subtest 'wrong answers' => sub {
    my ($text, undef, $k, $again) = struck({ fault => 'wrong_amount' }, charged => 1);
    like($text, qr/"amount":951\D/, 'wrong_amount');
    is($again->{json}{amount}, 950, 'the books know better');
    ($text, undef, $k) = struck({ fault => 'wrong_key' }, charged => 1);
    like($text, qr/"key":"[0-9a-f-]{36}"/, 'wrong_key');
    unlike($text, qr/\Q$k\E/, 'not the one that was asked');
    ($text) = struck({ fault => 'wrong_types' }, charged => 1);
    like($text, qr/"amount":"950".*"state":0/, 'wrong_types');
    ($text) = struck({ fault => 'rubbish' }, charged => 1);
    like($text, qr{^HTTP/1.1 201 }, 'rubbish comes with a good status');
    ok(!eval { $json->decode($text =~ s/.*\r\n\r\n//sr) }, 'but is no JSON');
    ($text) = struck({ fault => 'huge' }, charged => 1);
    ok(length $text > 10_000_000, 'huge: ' . length $text);
    like(substr($text, -300), qr/x","transaction":.*"amount":950/, 'with the truth at its end');
};

subtest 'forget' => sub {
    my ($p, $k) = ($s->fresh_player, key());
    debit($p, $k);
    $s->faults({ fault => 'forget', delay_ms => 60_000 });
    is(debit($p, $k)->{status}, 200, 'a young key is known');
    $s->faults({ fault => 'forget', calls => 'debits', delay_ms => 0 });
    is(debit($p, $k)->{status}, 201, 'an old one is not');
    $s->clear_faults;
    books($p, 2, 0, $gems - 1900, 'charged twice, and the ledger tells');
    is(totals()->{charged_twice}, 1, 'so do the totals');
    my $d = key();
    deliver($p, $d);
    $s->faults({ fault => 'forget', calls => 'deliveries' });
    is(deliver($p, $d)->{status}, 201, 'a delivery, too');
    $s->faults({ fault => 'forget', calls => 'lookup' });
    is(lookup($k)->{status}, 404, 'and a key that is looked up');
    $s->clear_faults;
};

sub refused {
    my ($port) = $s->economy_url =~ /:(\d+)$/;
    return !IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 2) && $!{ECONNREFUSED};
}

subtest 'down' => sub {
    my ($port) = $s->economy_url =~ /:(\d+)$/;
    my $kept = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    my $started = time;
    $s->faults({ fault => 'down', delay_ms => 700 });
    ok(refused(), 'at once');
    print {$kept} "GET /v1/debits/x HTTP/1.1\r\nHost: x\r\n\r\n";
    is(sysread($kept, my $got, 10), 0, 'nobody is behind a connection of before');
    ok($s->wait_until(10, sub { !refused() }), 'it comes back');
    my $away = time - $started;
    ok($away >= 0.65 && $away < 3, "in time: $away s");
    is($s->economy(GET => '/healthz')->{status}, 200, 'and works');

    $s->faults({ fault => 'down', calls => 'debits', delay_ms => 400, times => 1 });
    ok(!refused(), 'with calls it waits for one');
    my $p = $s->fresh_player;
    is((raw_debit($p, key()))[0], '', 'which gets no answer');
    ok(refused(), 'and then nobody is there');
    $s->clear_faults;
    ok(!refused(), 'clear_faults waits for it');
    is(player($p)->{charges}, 0, 'nothing was charged');
};

subtest 'which calls, how often' => sub {
    my ($p, $k) = ($s->fresh_player, key());
    debit($p, $k);
    my %calls = (
        deliveries => sub { deliver($p, key()) }, cancel => sub { cancel(key()) }, refund => sub { refund($k) },
        lookup => sub { lookup($k) }, debits => sub { debit($p, $k) });
    for my $struck (sort keys %calls) {
        $s->faults({ fault => 'error_500', calls => $struck });
        is({ map { $_ => $calls{$_}->()->{status} == 500 } keys %calls }, { map { $_ => $_ eq $struck } keys %calls }, "only $struck");
    }
    $s->faults({ fault => 'error_500' });
    is([ grep { $calls{$_}->()->{status} != 500 } keys %calls ], [], 'all');
    $s->faults({ fault => 'refuse' });
    is([ map { $calls{$_}->()->{status} } qw(deliveries lookup) ], [ 422, 200 ], 'all, but only those that can be refused');

    $s->faults({ fault => 'error_500', times => 2 }, { fault => 'too_many_429', times => 1 });
    is([ map { lookup($k)->{status} } 1 .. 4 ], [ 500, 500, 429, 200 ], 'one after the other, so many times each');
    $s->faults({ fault => 'error_500', probability => 0.5 });
    my $struck = grep { lookup($k)->{status} == 500 } 1 .. 400;
    ok($struck > 120 && $struck < 280, "half of the time: $struck of 400");
    is($s->economy(GET => '/sandbox/faults')->{json}{faults}[0]{struck}, $struck, 'and counted');
    $s->faults({ fault => 'error_500', probability => 0 });
    is([ map { lookup($k)->{status} } 1 .. 20 ], [ (200) x 20 ], 'never');
    $s->clear_faults;
    is($s->economy(GET => '/sandbox/faults')->{json}, { faults => [] }, 'cleared');
};

subtest 'bad lists of faults' => sub {
    $s->faults({ fault => 'late', calls => 'refund' });
    for my $bad ({}, { faults => {} }, { faults => [], more => 1 }, { faults => ['late'] }, (map { { faults => [$_] } } {},
        { fault => 'lost' }, { fault => 'late', calls => 'debit' }, { fault => 'late', probability => 1.01 }, { fault => 'late', probability => -1 },
        { fault => 'late', probability => '1' }, { fault => 'late', delay_ms => 600_001 }, { fault => 'late', delay_ms => -1 },
        { fault => 'late', times => 0 }, { fault => 'late', when => 'now' }, { fault => 'refuse', calls => 'lookup' }),
        { faults => [ map { { fault => 'late' } } 1 .. 65 ] }) {
        is($s->economy(PUT => '/sandbox/faults', $bad)->{status}, 400, $json->encode($bad) =~ s/(.{60}).*/$1../r);
    }
    is(scalar @{ $s->economy(GET => '/sandbox/faults')->{json}{faults} }, 1, 'the list of before stands');
    $s->clear_faults;
};

# --- its life ---

subtest 'restart' => sub {
    my ($p, $k) = ($s->fresh_player, key());
    debit($p, $k);
    my $url = $s->economy_url;
    $s->faults({ fault => 'late', calls => 'debits', delay_ms => 60_000 });
    my ($q, $waiting) = ($s->fresh_player, key());
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        raw_debit($q, $waiting, 20);
        POSIX::_exit(0);
    }
    ok($s->wait_until(5, sub { player($q)->{charges} == 1 }), 'a call waits');
    my $started = time;
    $s->restart('economy');
    ok(time - $started < 10, 'and does not keep it from ending');
    waitpid $pid, 0;
    is($s->economy_url, $url, 'it comes back at its address');
    is([ debit($p, $k)->{status}, debit($q, $waiting)->{status} ], [ 200, 200 ], 'and knows its keys');
    $s->kill('economy');
    $s->start('economy');
    is(debit($p, $k)->{status}, 200, 'also after it was killed');
    $s->restart('mariadb');
    ok($s->wait_until(10, sub { debit($p, $k)->{status} == 200 }), 'and when its database was away');
};

subtest 'command line' => sub {
    my $run = sub { my $text = qx('$program' @_ 2>&1); return ($? >> 8, $text) };
    my ($status, $help) = $run->('--help');
    is($status, 0, '--help');
    like($help, qr/--key-retention-s.*late_charge/s, 'names options and faults');
    like([ $run->('--version') ], [ 0, qr/^economy-sandbox \d/ ], '--version');
    for my $bad ('--wallet gems', '--wallet =5', '--wallet gems=-5', '--wallet gems=1x', '--key-retention-s x', '--nothing', 'word', '--database') {
        my ($failed, $text) = $run->($bad);
        ok($failed && $text =~ /economy-sandbox: /, "$bad: $text");
    }
};

subtest 'a sandbox with a short memory' => sub {
    my $dir = $s->dir;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', "$dir/second.out";
        exec $program, '--port-file', "$dir/second.port", '--socket', $s->env->{MYSQL_SOCKET}, '--wallet', 'gems=1000', '--wallet', 'gold=5',
            '--key-retention-s', 1 or POSIX::_exit(127);
    }
    ok($s->wait_until(10, sub { -s "$dir/second.port" }), 'it says where it listens');
    my ($port) = $s->wait_until(2, sub { open my $in, '<', "$dir/second.port" or return; <$in> }) =~ /(\d+)/;
    my $ask = sub { my ($method, $path, @rest) = @_; return $s->request_at("http://127.0.0.1:$port", $method, $path, @rest) };
    open my $out, '<', "$dir/second.out" or die "second.out: $!";
    is(scalar <$out>, "listening on http://127.0.0.1:$port\n", 'on standard output, too');
    my ($p, $k) = ($s->fresh_player, key());
    is($ask->(GET => "/sandbox/players/$p")->{json}{wallets}, { gems => 1000, gold => 5 }, 'its own wallets');
    my $pay = sub { return $ask->(POST => '/v1/debits', { 'Idempotency-Key' => $k }, debit_body($p, amount => 300))->{status} };
    is([ $pay->(), $pay->() ], [ 201, 200 ], 'a key is known');
    sleep 1.2;
    is($pay->(), 201, 'and forgotten after its time');
    CORE::kill('TERM', $pid);
    waitpid $pid, 0;
    is($?, 0, 'TERM ends it');
};

my $sums = totals();
is($sums->{unbalanced}, 0, 'every wallet is the sum of its ledger rows');
is($sums->{debits}{executed} + $sums->{debits}{refunded}, $sums->{charges} - 3, 'every charge has a key, but for the three that were forgotten');

done_testing;
