#!/usr/bin/perl
# The audit trail: who did what, why, by which request, before and after; filters and pages; and that whoever changes, takes out or adds
# a row by SQL is found, over HTTP and by battlepassctl, as is state that the ledgers do not give.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# Its own stack: it breaks what others would verify.
my $s = Battlepass::Stack->new;
my $season = 'trail';
my $moment = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;
my $uuid = qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;
my $true = JSON::PP::true;
my $db = $s->db;

my %trail = (tier_price => { currency => 'gems', amount => 10 },
    rewards => [ map { my $tier = $_; map { { reward => "$_->[0]$tier", tier => $tier, pass => $_->[1], kind => 'item', item => 'thing', quantity => 1 } } ['f', 'free'], ['g', 'gold'] } 1 .. 10 ]);
publish_season($s, small_season($season, %trail));
publish_season($s, small_season('trail-2', %trail));

sub post_as {
    my ($as, $path, $body, %headers) = @_;
    return api($s, 'POST', $path, { $s->as(@$as), 'Idempotency-Key' => fresh_key(), %headers }, $body);
}

# Support's, on a player; as, season, headers; what is left stands in the body.
sub admin {
    my ($player, $call, %options) = @_;
    my $in = delete $options{season} // $season;
    my $as = delete $options{as} // ['support'];
    my $headers = delete $options{headers} // {};
    my $answer = post_as($as, "/v1/admin/seasons/$in/players/$player/$call", { reason => 'ticket 1', %options }, %$headers);
    return $answer->{status} == 200 ? $answer->{json} : die "$call: $answer->{status} $answer->{body}";
}

sub claim {
    my ($player, $rewards, %headers) = @_;
    return post_as([ player => $player ], "/v1/seasons/$season/players/$player/claims", { rewards => $rewards }, %headers);
}

sub buy {
    my ($player, $what, %headers) = @_;
    $s->economy(PUT => "/sandbox/wallets/$player", { currency => 'gems', balance => 1000 });
    return post_as([ player => $player ], "/v1/seasons/$season/players/$player/purchases", $what, %headers);
}

sub audit {
    my ($query, @as) = @_;
    return api($s, 'GET', "/v1/admin/audit?$query", { $s->as(@as ? @as : 'viewer') });
}

# All pages.
sub entries {
    my ($query, $page_size) = @_;
    my ($cursor, @items) = ('');
    while (defined $cursor) {
        my $answer = audit("$query&page_size=" . ($page_size // 200) . $cursor);
        die "$query: $answer->{status} $answer->{body}" if $answer->{status} != 200;
        push @items, @{ $answer->{json}{items} };
        $cursor = defined $answer->{json}{next} ? "&cursor=$answer->{json}{next}" : undef;
    }
    return \@items;
}

sub verify {
    my ($query) = @_;
    return api($s, 'GET', "/v1/admin/audit:verify?$query", { $s->as('viewer') });
}

# A player with entries of several kinds in the chain: corrections, a claim, a purchase.
sub busy_player {
    my ($corrections) = @_;
    my $player = $s->fresh_player;
    admin($player, 'xp-corrections', amount => 100, reason => "number $_") for 1 .. $corrections // 4;
    claim($player, ['f1']);
    buy($player, { pass => 'gold' });
    claim($player, ['g1', 'f2']);
    return $player;
}

subtest 'who, what, why' => sub {
    my $player = $s->fresh_player;
    my $begin = time;
    my $first = admin($player, 'xp-corrections', amount => 350, reason => "lost \x{2713} match", headers => { 'X-Request-Id' => 'req-correction' });
    my $claimed = claim($player, ['f1', 'f2', 'f9'], 'X-Request-Id' => 'req-claim');
    my $bought = buy($player, { pass => 'gold' }, 'X-Request-Id' => 'req-purchase')->{json};
    my $taken = admin($player, 'pass-revocations', pass => 'gold', as => ['admin', 'boss-7'], reason => 'cheated');
    my $reset = admin($player, 'reset', claims => 'forget');
    my $undone = admin($player, "reset/$reset->{operation}/undo");
    my $items = entries("player=$player");
    is([ map { $_->{action} } @$items ], [qw(reset_undo reset pass_revocation purchase_granted purchase_debiting claim xp_correction)], 'each write, newest first');
    is([ map { $_->{sequence} } @$items ], [ map { "$_" } reverse 1 .. 7 ], 'numbered without a gap');
    my %entry = map { $_->{action} => $_ } @$items;
    is($entry{xp_correction}, hash {
        field entry => match $uuid;
        field sequence => '1';
        field player => $player;
        field season => $season;
        field action => 'xp_correction';
        field actor => 'support-1';
        field role => 'support';
        field reason => "lost \x{2713} match";
        field request_id => 'req-correction';
        field revision => $first->{revision};
        field before => $first->{before};
        field after => $first->{after};
        field at => match $moment;
        field hash => match qr/\A[0-9a-f]{64}\z/;
        etc;
    }, 'a correction: every member');
    ok(iso_time($begin - 1) le $entry{xp_correction}{at} && $entry{xp_correction}{at} le iso_time(time + 1), 'at the time when it was made');
    is($entry{claim}, hash {
        field actor => $player;
        field role => 'player';
        field request_id => 'req-claim';
        field revision => $claimed->{json}{revision};
        field before => hash { field claims => 0; etc };
        field after => hash { field claims => 2; etc };
        etc;
    }, 'a claim');
    is($entry{purchase_debiting}, hash { field actor => $player; field role => 'player'; field request_id => 'req-purchase'; field subject => $bought->{purchase}; etc }, 'a purchase, begun');
    is($entry{purchase_granted}, hash {
        field subject => $bought->{purchase};
        field revision => match qr/\A[1-9]\d*\z/;
        field before => hash { field passes => array { all_items mismatch qr/gold/; etc }; etc };
        field after => hash { field passes => bag { item 'gold'; etc }; etc };
        etc;
    }, 'and granted');
    is([ @{ $entry{pass_revocation} }{qw(actor role reason revision)} ], [ 'boss-7', 'admin', 'cheated', $taken->{revision} ], 'an admin');
    is($entry{reset}{subject}, $reset->{operation}, 'a reset by its id');
    like(JSON::PP->new->encode($entry{reset}), qr/forget/, 'which says that claims were forgotten');
    is($entry{reset_undo}{subject}, $reset->{operation}, 'and its undoing');
    is([ map { $_->{hash} } @$items ], array { all_items match qr/\A[0-9a-f]{64}\z/; etc }, 'each with a hash');
    is(scalar(keys %{ { map { $_->{hash} => 1 } @$items } }), 7, 'of its own');
    is(scalar(keys %{ { map { $_->{entry} => 1 } @$items } }), 7, 'and an id');

    # Every revision is one grant or one entry.
    grant($s, $player, 10, season => $season);
    my @revisions = sort { $a <=> $b } map { $_->{revision} } grep { $_->{revision} } @{ entries("player=$player") }, @{ ledger($s, $player, season => $season) };
    is(\@revisions, [ 1 .. progress($s, $player, season => $season)->{json}{revision} ], 'every revision has one ledger row');
};

subtest 'what is refused or repeated leaves no entry' => sub {
    my $player = $s->fresh_player;
    my $key = fresh_key();
    admin($player, 'xp-corrections', amount => 5, headers => { 'Idempotency-Key' => $key }) for 1 .. 3;
    my $path = "/v1/admin/seasons/$season/players/$player/xp-corrections";
    is(post_as(['support'], $path, $_->[1])->{status}, $_->[0], "$_->[0]") for [400, { amount => -100, reason => 'x' }], [400, { amount => 5 }], [200, { amount => 5, reason => 'x', validate_only => $true }];
    is(post_as(['viewer'], $path, { amount => 5, reason => 'x' })->{status}, 403, '403');
    is(scalar @{ entries("player=$player") }, 1, 'one entry');
    progress($s, $player, season => $season);
    grant($s, $player, 5, season => $season);
    is(scalar @{ entries("player=$player") }, 1, 'reads and grants make none');
};

subtest 'filters and pages' => sub {
    my ($one, $two) = map { $s->fresh_player } 1 .. 2;
    my @gaps;
    for my $i (1 .. 5) {
        admin($one, 'xp-corrections', amount => $i, as => $i % 2 ? ['support', "agent-$$"] : ['admin', "chief-$$"]);
        admin($two, 'tier-grants', tiers => 1, season => 'trail-2', as => ['support', "agent-$$"]);
        sleep 0.01;
        push @gaps, iso_time(time);
        sleep 0.01;
    }
    admin($one, 'tier-grants', tiers => 1, season => 'trail-2', as => ['admin', "chief-$$"]);
    my $short = sub { return [ map { ($_->{player} eq $one ? 1 : $_->{player} eq $two ? 2 : '?') . " $_->{season} $_->{action}" } @{ entries($_[0], $_[1]) } ] };
    my $a = "1 $season xp_correction";
    my $b = '2 trail-2 tier_grant';
    my $c = '1 trail-2 tier_grant';
    my @cases = (
        ["player=$one", [ $c, ($a) x 5 ]],
        ["player=$two", [ ($b) x 5 ]],
        ["player=$one&season=$season", [ ($a) x 5 ]],
        ["player=$one&season=trail-2", [$c]],
        ["player=$one&season=s1", []],
        ["actor=agent-$$", [ $b, $a, $b, $b, $a, $b, $b, $a ]],
        ["actor=chief-$$", [ $c, $a, $a ]],
        ["actor=chief-$$&season=$season", [ $a, $a ]],
        ["player=$one&action=tier_grant", [$c]],
        ["actor=agent-$$&action=xp_correction", [ ($a) x 3 ]],
        ["player=$one&from=$gaps[2]", [ $c, $a, $a ]],
        ["player=$one&to=$gaps[2]", [ $a, $a, $a ]],
        ["player=$two&from=$gaps[0]&to=$gaps[3]", [ ($b) x 3 ]],
        ["player=$two&from=$gaps[3]&to=$gaps[0]", []],
        ["actor=agent-$$&from=$gaps[1]&to=$gaps[3]&action=tier_grant&season=trail-2", [ $b, $b ]],
        ["actor=agent", []],
        ["player=" . substr($one, 0, -1), []],
    );
    for my $case (@cases) {
        my ($query, $want) = @$case;
        for my $size (200, 2) {
            is($short->($query, $size), $want, "$query, in pages of $size");
        }
    }
    my $page = audit("actor=agent-$$&page_size=3");
    like($page->{headers}{link}, qr{^<[^>]*\?[^>]*actor=agent-$$[^>]*>; rel="?next"?$}, 'the Link keeps the filter');
    for my $bad ('from=yesterday', 'to=', 'player=a%20b', 'action=no_such_action', 'cursor=zz', 'season=a%20b') {
        my ($name) = $bad =~ /^(\w+)/;
        is_problem(audit($bad), 400, 'invalid_field', $bad, pointer => "/query/$name");
    }
    is(audit("player=$one", $_)->{status}, 200, "a $_") for qw(viewer support designer admin);
    is_problem(audit("player=$one", $_), 403, 'role_not_allowed', "a $_") for qw(server);
    is_problem(audit("player=$one", player => $one), 403, 'role_not_allowed', 'the player');
    is_problem(api($s, 'GET', '/v1/admin/audit', {}), 401, 'token_missing', 'nobody');
    is_problem(api($s, $_, '/v1/admin/audit', { $s->as('admin') }), 405, 'method_not_allowed', "$_: nobody changes it") for qw(POST PUT DELETE);
};

subtest 'verify: good' => sub {
    my $player = busy_player();
    my $answer = verify("player=$player");
    is($answer->{status}, 200, 'status') or diag($answer->{body});
    is($answer->{json}, { good => $true, checked => 8 }, 'one player');
    is(verify("player=$player&season=trail-2")->{json}, { good => $true, checked => 0 }, 'without entries in that season');
    my ($checked, $cursor) = (0, '');
    while (defined $cursor) {
        my $json = verify($cursor)->{json};
        is($json->{good}, T, 'everybody') or last;
        $checked += $json->{checked};
        $cursor = defined $json->{next} ? "cursor=$json->{next}" : undef;
    }
    my ($rows) = $db->selectrow_array('SELECT COUNT(*) FROM audit_log');
    is($checked, $rows, 'every entry was looked at');
    for my $arguments ([], ['--player', $player], ['--season', $season], ['--player', $player, '--season', $season]) {
        my ($status, $text) = $s->ctl('audit', 'verify', @$arguments);
        is($status, 0, "battlepassctl audit verify @$arguments") or diag($text);
    }
    my ($status, $text) = $s->ctl('player', 'verify', '--season', $season, $player);
    is($status, 0, 'battlepassctl player verify') or diag($text);
    is([ $s->ctl('player', 'verify', @$_) ]->[0], 0, "battlepassctl player verify @$_") for [$player], ['--all'], ['--season', $season, '--all'];
    is(api($s, 'GET', '/v1/admin/audit:verify', { $s->as($_) })->{status}, 200, "a $_") for qw(viewer support designer admin);
    is_problem(api($s, 'GET', "/v1/admin/audit:verify?player=$player", { $s->as($_, $player) }), 403, 'role_not_allowed', "a $_") for qw(server player);
    my $other = $s->fresh_player;
    is(verify("player=$other")->{json}{good}, T, 'a player without anything');
    grant($s, $other, 50, season => $season);
    is([ $s->ctl('player', 'verify', $other) ]->[0], 0, 'one with grants only');
};

# Both ways of looking must find the fault, at one of these numbers.
sub is_found {
    my ($player, $name, @numbers) = @_;
    my $json = verify("player=$player")->{json};
    is($json, hash {
        field good => F;
        field checked => D;
        field broken => hash { field player => $player; field season => $season; field sequence => in_set(map { "$_" } @numbers); field detail => T; etc };
        etc;
    }, "$name: found") or diag(JSON::PP->new->encode($json // {}));
    my ($status, $text) = $s->ctl('audit', 'verify', '--player', $player);
    is($status, 1, "$name: by battlepassctl, too") or diag($text);
    like($text, qr/\Q$player\E/, "$name: with the player's name");
    return;
}

subtest 'verify: a row that was changed' => sub {
    my %changes = (
        reason => "'nothing to see'", actor => "'somebody-else'", role => "'admin'", action => "'tier_grant'", request_id => "'another'", subject => "'x'",
        entered_at_ms => 'entered_at_ms + 1', revision => 'revision + 1', xp_after => 'xp_after + 1', xp_before => 'xp_before + 1', result => "CONCAT(result, ' ')",
        state_before => "CONCAT(state_before, ' ')", state_after => "REPLACE(state_after, '0', '1')", idempotency_key => "'another-key'", entry_id => "REPEAT('x', 16)",
        hash => "REPEAT('x', 32)",
    );
    for my $column (sort keys %changes) {
        my $player = busy_player();
        my $changed = $db->do("UPDATE audit_log SET $column = $changes{$column} WHERE player_id = ? AND sequence = 2", undef, $player);
        is($changed, 1, "$column: changed") or next;
        # A hash that was exchanged can only be told by what does not follow from it.
        is_found($player, $column, 2, $column eq 'hash' ? 3 : ());
    }
    my $last = busy_player();
    $db->do("UPDATE audit_log SET reason = 'x' WHERE player_id = ? AND sequence = 8", undef, $last);
    is_found($last, 'the last row', 8);
};

subtest 'verify: a row that is gone' => sub {
    for my $gone (1, 4, 8) {
        my $player = busy_player();
        is($db->do('DELETE FROM audit_log WHERE player_id = ? AND sequence = ?', undef, $player, $gone), 1, "number $gone is deleted");
        is_found($player, "number $gone", $gone - 1, $gone, $gone + 1);
    }
    my $closed = busy_player();
    $db->do('DELETE FROM audit_log WHERE player_id = ? AND sequence = 4', undef, $closed);
    $db->do('UPDATE audit_log SET sequence = sequence - 1 WHERE player_id = ? AND sequence > 4 ORDER BY sequence', undef, $closed);
    is_found($closed, 'a gap that was closed', 4);
    my $end = busy_player();
    $db->do('DELETE FROM audit_log WHERE player_id = ? AND sequence > 5', undef, $end);
    is_found($end, 'the end cut off', 5, 6);
    my $all = busy_player();
    $db->do('DELETE FROM audit_log WHERE player_id = ?', undef, $all);
    is_found($all, 'all rows', 0, 1);
};

# A copy of one of the player's rows at another number, with an id of its own.
sub insert_copy {
    my ($player, $from, $to) = @_;
    my %value = (sequence => $to, idempotency_key => 'NULL', entry_id => "REPEAT('y', 16)");
    my @columns = map { $_->[0] } @{ $db->selectall_arrayref('SHOW COLUMNS FROM audit_log') };
    return $db->do('INSERT INTO audit_log (' . join(', ', @columns) . ') SELECT ' . join(', ', map { $value{$_} // $_ } @columns)
        . ' FROM audit_log WHERE player_id = ? AND sequence = ?', undef, $player, $from);
}

subtest 'verify: a row that was added, moved or exchanged' => sub {
    my $end = busy_player();
    insert_copy($end, 3, 9);
    is_found($end, 'added at the end', 8, 9);
    my $far = busy_player();
    insert_copy($far, 3, 50);
    is_found($far, 'added far behind', 8, 9, 50);
    my $inside = busy_player();
    $db->do('UPDATE audit_log SET sequence = sequence + 1 WHERE player_id = ? AND sequence > 3 ORDER BY sequence DESC', undef, $inside);
    insert_copy($inside, 2, 4);
    is_found($inside, 'added in the middle', 4);
    my $swapped = busy_player();
    $db->do('UPDATE audit_log SET sequence = ? WHERE player_id = ? AND sequence = ?', undef, $_->[1], $swapped, $_->[0]) for [2, 99], [3, 2], [99, 3];
    is_found($swapped, 'two exchanged', 2);
    my ($from, $to) = map { busy_player() } 1 .. 2;
    $db->do('DELETE FROM audit_log WHERE player_id = ? AND sequence = 1', undef, $to);
    $db->do('UPDATE audit_log SET player_id = ? WHERE player_id = ? AND sequence = 1', undef, $to, $from);
    is_found($to, "another player's row", 1);
    my $head = busy_player();
    $db->do("UPDATE progress SET audit_hash = REPEAT('x', 32) WHERE player_id = ?", undef, $head);
    is_found($head, 'the head of the chain', 8, 9);
    my $json = verify('')->{json};
    my $pages = 0;
    $json = verify("cursor=$json->{next}")->{json} while $json->{good} && defined $json->{next} && $pages++ < 100;
    is($json->{good}, F, 'a look at everybody finds somebody');
    isnt([ $s->ctl('audit', 'verify') ]->[0], 0, 'so does battlepassctl');
};

subtest 'player verify: state that the ledgers do not give' => sub {
    my %changes = (
        'more XP' => ['UPDATE progress SET xp = xp + 100 WHERE player_id = ?'],
        'less XP' => ['UPDATE progress SET xp = xp - 1 WHERE player_id = ?'],
        'another revision' => ['UPDATE progress SET revision = revision + 1 WHERE player_id = ?'],
        'a pass that nobody gave' => ["INSERT INTO pass_ownership (player_id, season_id, pass_id, since_ms) VALUES (?, '$season', 'silver', 5)",
            'UPDATE progress SET pass_count = pass_count + 1 WHERE player_id = ?'],
        'a pass that is gone' => ['DELETE FROM pass_ownership WHERE player_id = ?', 'UPDATE progress SET pass_count = 0 WHERE player_id = ?'],
        'a pass that was turned off' => ['UPDATE pass_ownership SET active = FALSE WHERE player_id = ?'],
        'a claim that nobody made' => ["INSERT INTO claim (player_id, season_id, tier, pass_id, reward_id, claimed_at_ms) VALUES (?, '$season', 3, 'free', 'f3', 5)",
            'UPDATE progress SET claim_count = claim_count + 1 WHERE player_id = ?'],
        'a claim that is gone' => ["DELETE FROM claim WHERE player_id = ? AND reward_id = 'f1'", 'UPDATE progress SET claim_count = claim_count - 1 WHERE player_id = ?'],
        'another reward claimed' => ["UPDATE claim SET reward_id = 'f4', tier = 4 WHERE player_id = ? AND reward_id = 'f1'"],
        'a grant that is gone' => ['DELETE FROM xp_grant WHERE player_id = ? ORDER BY revision LIMIT 1'],
        'a grant of more' => ['UPDATE xp_grant SET amount = amount + 1, xp_after = xp_after + 1 WHERE player_id = ? ORDER BY revision LIMIT 1'],
    );
    for my $name (sort keys %changes) {
        my $player = busy_player(2);
        grant($s, $player, 60, season => $season) for 1 .. 2;
        is([ $s->ctl('player', 'verify', '--season', $season, $player) ]->[0], 0, "$name: good before");
        ok($db->do($_, undef, $player) > 0, "$name: changed") for @{ $changes{$name} };
        for my $arguments (['--season', $season, $player], [$player]) {
            my ($status, $text) = $s->ctl('player', 'verify', @$arguments);
            is($status, 1, "$name: found") or diag($text);
            like($text, qr/\Q$player\E/, "$name: with the player's name");
        }
    }
    is([ $s->ctl('player', 'verify', '--season', $season, '--all') ]->[0], 1, 'among all');
    is([ $s->ctl('player', 'verify', '--season', 'trail-2', '--all') ]->[0], 0, 'another season is good');
    isnt([ $s->ctl('player', 'verify') ]->[0], 0, 'nobody named');
};

done_testing;
